"""Credentials of one MLflow client: MLflow itself knows only those of the process's environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def use(client: Any, uri: str, variables: Mapping[str, str]) -> None:
    """Let a client of a server use these credentials, whatever the environment says.

    :param variables: ``MLFLOW_TRACKING_USERNAME``, ``…_PASSWORD`` and ``…_TOKEN``, as far as there are any.
    """
    from mlflow.store.model_registry.rest_store import RestStore as RegistryStore
    from mlflow.store.tracking.rest_store import RestStore as TrackingStore
    from mlflow.tracking._model_registry.client import ModelRegistryClient
    from mlflow.tracking._tracking_service.client import TrackingServiceClient
    from mlflow.utils.credentials import get_default_host_creds

    def known() -> Any:
        access = get_default_host_creds(uri)  # certificates and the like stay as the environment says
        access.username = variables.get("MLFLOW_TRACKING_USERNAME")
        access.password = variables.get("MLFLOW_TRACKING_PASSWORD")
        access.token = variables.get("MLFLOW_TRACKING_TOKEN")
        return access

    tracking, registry = TrackingStore(known), RegistryStore(known)

    class Tracking(TrackingServiceClient):  # type: ignore[misc]
        store = property(lambda _: tracking)

    class Registry(ModelRegistryClient):  # type: ignore[misc]
        store = property(lambda _: registry)

    client._tracking_client = Tracking(uri)  # noqa: SLF001 - MLflow has no other way in
    client._registry_client_lazy = Registry(uri, uri)  # noqa: SLF001
