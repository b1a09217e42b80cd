"""Waits for a model server to be ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.triggers.base import Seen, StateTrigger, whole


@dataclass(eq=False, repr=False, kw_only=True)
class ModelServerReadyTrigger(StateTrigger):
    """Fires when a model server can predict.

    :param product: whose server it is, and whose connection serves if ``conn_id`` names none.
    :param version: the version that it must predict with; by default any.
    :param address: where it listens, if no connection says so.
    """

    product: str | None = None
    version: Any = None
    address: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.version = whole("version", self.version)

    def look(self) -> Seen:
        from airflow_mlops_provider.backends.model_server.client import server_state
        from airflow_mlops_provider.hooks.model_server import ModelServerHook

        hook = ModelServerHook.named(self.conn_id, self.product)
        url = hook.url or self.address or hook.required_url()
        return readiness(url, server_state(url, hook.connection.password or ""), self.product, self.version)


def readiness(url: str, state: ServerState | None, product: str | None, version: int | None) -> Seen:
    """Return whether a server predicts, for that product and with that version if they are named."""
    if state is None:
        return Seen(None, f"no model server answers at {url}")
    if product and state.product != product:
        return Seen(None, f"{url} serves {state.product}, not {product}")
    if state.not_ready or state.version is None:
        return Seen(None, f"{url} can't predict: {state.not_ready or 'it has no version'}")
    if version and state.version != version:
        return Seen(None, f"{url} serves version {state.version}, not {version}")
    facts = {"product": state.product, "version": state.version, "url": url}
    return Seen(str(state.version), f"{url} serves version {state.version} of {state.product}", facts)
