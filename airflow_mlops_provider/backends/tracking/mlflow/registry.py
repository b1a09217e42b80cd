"""What MLflow's model registry holds of a registered model, whoever put it there."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.backends.tracking.mlflow.server import Allowing, MlflowServer, mlflow_call
from airflow_mlops_provider.exceptions import ConfigurationError

READY = "READY"


class MlflowRegistry(MlflowServer):
    """The registered models of a server or database. Each call raises ``BackendError`` if it does not answer."""

    @mlflow_call
    def by_alias(self, name: str, alias: str) -> Any:
        """Return the version that an alias points at; None without such a model or alias."""
        with Allowing("RESOURCE_DOES_NOT_EXIST"):
            number = self.client.get_registered_model(name).aliases.get(alias)
            return self.client.get_model_version(name, str(number)) if number else None
        return None

    @mlflow_call
    def by_number(self, name: str, number: int) -> Any:
        """Return a version that is ready; None if there is none."""
        with Allowing("RESOURCE_DOES_NOT_EXIST"):
            version = self.client.get_model_version(name, str(number))
            return version if version.status == READY else None
        return None

    @mlflow_call
    def newest(self, name: str) -> Any:
        """Return the newest version that is ready; None if there is none.

        :raises ConfigurationError: for a name that MLflow's queries can't hold.
        """
        if "'" in name:
            raise ConfigurationError(f"MLflow finds no model by a name with a quote in it: {name!r}")
        query, order = f"name = '{name}'", ["version_number DESC"]
        page = self.client.search_model_versions(query, order_by=order, max_results=100)
        while True:
            for version in page:
                if version.status == READY:
                    return version
            if not page.token:
                return None
            page = self.client.search_model_versions(query, order_by=order, max_results=100, page_token=page.token)
