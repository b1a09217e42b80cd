"""The model server of a product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.backends import probes
from airflow_mlops_provider.backends.http import client
from airflow_mlops_provider.hooks.base import ServiceHook
from airflow_mlops_provider.lifecycle.serving.target import KUBECONFIG_VARIABLE, TOKEN_VARIABLE

if TYPE_CHECKING:
    import httpx


class ModelServerHook(ServiceHook):
    """A model server that runs elsewhere; by default one is started beside Airflow where the product declares it.

    Host, port and schema give its address; the password is the token that deployments send. The field *kubeconfig* is
    the way to the cluster on which deployments apply it, where the job has no other.
    """

    default_conn_name = "mlops_model_server"
    conn_type = "mlops_model_server"
    hook_name = "MLOps model server"
    password_variable = TOKEN_VARIABLE

    def cluster(self) -> dict[str, str]:
        """Return the way to the cluster, for the jobs that deploy."""
        kubeconfig = self.extra.get("kubeconfig")
        return {KUBECONFIG_VARIABLE: str(kubeconfig)} if kubeconfig else {}

    def get_conn(self) -> httpx.Client:
        """Return an HTTP client of its API, as ``client.post("/predict", json=…)``."""
        return client(self.required_url(), None, self.connection.password)

    def probe(self) -> str:
        """Read the server's health."""
        url = self.required_url()
        probes.http(f"{url}/health", None, self.connection.password)
        return f"the model server answers at {url}"
