"""The model server of a product."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.backends import probes
from airflow_mlops_provider.hooks.base import ServiceHook

TOKEN_VARIABLE = "MLOPS_SERVING_TOKEN"  # noqa: S105 - the variable's name


class ModelServerHook(ServiceHook):
    """A model server that runs elsewhere; by default one is started beside Airflow where the product declares it.

    Host, port and schema give its address; the password is the token with which deployments are asked for.
    """

    default_conn_name = "mlops_model_server"
    conn_type = "mlops_model_server"
    hook_name = "MLOps model server"

    def settings(self) -> dict[str, Any]:
        """Return the server's URL; None for the one that the product declares."""
        return {"url": self.url}

    def secrets(self) -> dict[str, str]:
        """Return the token."""
        password = self.connection.password if self.connection else None
        return {TOKEN_VARIABLE: password} if password else {}

    def probe(self) -> str:
        """Ask the server for its health."""
        url = self.required_url()
        probes.http(f"{url}/health", None, self.secrets().get(TOKEN_VARIABLE))
        return f"the model server answers at {url}"
