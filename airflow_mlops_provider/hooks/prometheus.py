"""Prometheus: where metrics of models and infrastructure are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.backends import probes
from airflow_mlops_provider.backends.http import client
from airflow_mlops_provider.hooks.base import ServiceHook

if TYPE_CHECKING:
    import httpx


class PrometheusHook(ServiceHook):
    """A Prometheus server, for sensors and checks of your own.

    Host, port and schema give its address; login and password, or a password alone as a token, what a proxy wants.
    """

    default_conn_name = "mlops_prometheus"
    conn_type = "prometheus"
    hook_name = "Prometheus"
    login_variable, password_variable = "MLOPS_PROMETHEUS_USERNAME", "MLOPS_PROMETHEUS_PASSWORD"
    token_variable = "MLOPS_PROMETHEUS_TOKEN"  # noqa: S105 - the variable's name

    def get_conn(self) -> httpx.Client:
        """Return an HTTP client of its API, as ``client.get("/api/v1/query", …)``."""
        return client(self.required_url(), self.credentials, self.token)

    def probe(self) -> str:
        """Send Prometheus a query that needs no data."""
        url = self.required_url()
        answer = probes.http(f"{url}/api/v1/query?query=vector(1)", self.credentials, self.token)
        probes.expect(b'"success"' in answer, f"{url} answers, but not as Prometheus does")
        return f"Prometheus answers at {url}"
