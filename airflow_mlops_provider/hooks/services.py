"""Everything a job must know about the services around it, gathered from connections and configuration."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from airflow_mlops_provider.hooks import defaults
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.feast import FeastHook
from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.hooks.model_server import ModelServerHook
from airflow_mlops_provider.hooks.optuna import OptunaHook
from airflow_mlops_provider.hooks.signing import SigningHook
from airflow_mlops_provider.hooks.source import SourceHook
from airflow_mlops_provider.lifecycle.records.spec import Services
from airflow_mlops_provider.runtime.definition import OPEN

#: The services, as an operator names the one that it is about.
Service = Literal["artifact_store", "mlflow", "feast", "model_server", "source", "search"]


def services(
    product: str,
    guarded: Collection[str] = (),
    named: Mapping[Service, str] | None = None,
    uses: Collection[str] = OPEN,
) -> tuple[Services, str, dict[str, str]]:
    """Return where a product's services are, the artifact root, and the credentials as environment variables.

    Each comes from its Airflow connection where that is defined, and from the embedded default where not. A product
    may have a connection of its own for each, ``mlops_mlflow_<product>`` and so on; but the artifact root, in which one
    product's records lead to another's, is one for all. A team has its own by Airflow's means (``[core] multi_team``).

    :param guarded: which of the guarded services a job may see: ``source``, the product's repository and its token,
        ``search``, the database of searches and its password, ``signing``, the key that signs models, and ``cluster``,
        the way to the one that serves. No other job is told of them.
    :param named: connections that take the place of a product's or the default ones, by the service's name.
    :param uses: which of the others a job uses; those that it does not are not looked up.
    :raises ConfigurationError: if a connection cannot work as it is filled in.
    """
    conn, store = (named or {}).get, ArtifactStoreHook((named or {}).get("artifact_store"))
    mlflow = MlflowHook.named(conn("mlflow"), product) if "mlflow" in uses else None
    feast = FeastHook.named(conn("feast"), product) if "feast" in uses else None
    server = ModelServerHook.named(conn("model_server"), product) if "model_server" in uses else None
    source = SourceHook.named(conn("source"), product) if "source" in guarded else None
    search = OptunaHook.named(conn("search"), product) if "search" in guarded else None
    root = store.settings()["root"]
    addresses = Services(
        landing=defaults.landing_root(root),
        mlflow=mlflow.settings()["uri"] if mlflow else "",
        online_store=feast.settings() if feast else {},
        model_server=server.settings()["url"] if server else None,
        source=source.repository(product) if source else None,
        search=search.settings()["url"] if search else None,
    )
    signing = SigningHook.of_product(product)
    secrets = signing.secrets() if "signing" in guarded else signing.public()
    if "cluster" in guarded and server:
        secrets |= server.cluster()
    for hook in filter(None, (store, mlflow, feast, server, source, search)):
        secrets |= hook.secrets()
    return addresses, root, secrets
