"""Waits for model versions in MLflow, whoever makes or moves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.triggers.base import Seen, StateTrigger, filled, whole


@dataclass(eq=False, repr=False, kw_only=True)
class MlflowModelVersionTrigger(StateTrigger):
    """Fires when an alias points at another version, or a version is there: a certain one, or by default a newer one.

    :param name: the registered model's.
    :param alias: whose moves are waited for.
    :param version: the number that is waited for.
    :param since: the version that is known already.
    """

    name: str
    alias: str | None = None
    version: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.name, self.alias, self.version = (
            filled("name", self.name),
            self.alias or None,
            whole("version", self.version),
        )
        if self.alias and self.version:
            raise ConfigurationError(f"wait for alias {self.alias!r} to move, or for version {self.version}; not both")
        self.since = None if self.since is None else str(self.since)

    @property
    def changes(self) -> bool:
        return self.version is None

    def look(self) -> Seen:
        from airflow_mlops_provider.backends.tracking.mlflow.registry import MlflowRegistry
        from airflow_mlops_provider.hooks.mlflow import MlflowHook

        registry = MlflowRegistry(*MlflowHook(self.conn_id).access())
        if self.alias:
            return seen(self.name, registry.by_alias(self.name, self.alias), self.alias)
        return seen(
            self.name, registry.by_number(self.name, self.version) if self.version else registry.newest(self.name)
        )


def seen(name: str, version: Any, alias: str | None = None) -> Seen:
    """Return what a version of MLflow's, or that there is none, comes to."""
    what = f"{name}@{alias}" if alias else f"the newest version of {name}"
    if version is None:
        return Seen(None, f"{what} is not there")
    facts = {"name": name, "version": int(version.version), "run_id": version.run_id or None}
    return Seen(
        str(version.version), f"{what} is version {version.version}", {**facts, **({"alias": alias} if alias else {})}
    )
