"""Everything a job must know about the services around it, gathered from connections and configuration."""

from __future__ import annotations

from collections.abc import Collection

from airflow_mlops_provider.hooks import defaults
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.feast import FeastHook
from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.hooks.model_server import ModelServerHook
from airflow_mlops_provider.hooks.optuna import OptunaHook
from airflow_mlops_provider.hooks.source import SourceHook
from airflow_mlops_provider.lifecycle.records.spec import Services


def services(product: str, guarded: Collection[str] = ()) -> tuple[Services, str, dict[str, str]]:
    """Return where a product's services are, the artifact root, and the credentials as environment variables.

    Each comes from its Airflow connection where that is defined, and from the embedded default where not. A product
    may have a connection of its own for each, ``mlops_mlflow_<product>`` and so on; but the artifact root, in which one
    product's records lead to another's, is one for all. A team has its own by Airflow's means (``[core] multi_team``).

    :param guarded: which of the guarded services a job may see: ``source``, the product's repository and its token, and
        ``search``, the database of searches and its password. No other job is told of them.
    :raises ConfigurationError: if a connection cannot work as it is filled in.
    """
    store, mlflow, feast = ArtifactStoreHook(), MlflowHook.of_product(product), FeastHook.of_product(product)
    server = ModelServerHook.of_product(product)
    source = SourceHook.of_product(product) if "source" in guarded else None
    search = OptunaHook.of_product(product) if "search" in guarded else None
    root = store.settings()["root"]
    addresses = Services(
        landing=defaults.landing_root(root),
        mlflow=mlflow.settings()["uri"],
        online_store=feast.settings(),
        model_server=server.settings()["url"],
        source=source.repository(product) if source else None,
        search=search.settings()["url"] if search else None,
    )
    secrets: dict[str, str] = {}
    for hook in filter(None, (store, mlflow, feast, server, source, search)):
        secrets |= hook.secrets()
    return addresses, root, secrets
