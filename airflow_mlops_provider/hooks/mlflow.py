"""MLflow: tracking server and model registry."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends import probes
from airflow_mlops_provider.backends.http import client
from airflow_mlops_provider.hooks import defaults
from airflow_mlops_provider.hooks.artifact_store import artifact_folder
from airflow_mlops_provider.hooks.base import ServiceHook
from airflow_mlops_provider.lifecycle.references import Model
from airflow_mlops_provider.storage.artifacts import ArtifactStore, content_hash
from airflow_mlops_provider.storage.layout import key_below, product_key


class MlflowHook(ServiceHook):
    """An MLflow server; by default an SQLite file in the artifact root.

    Host, port and schema give the tracking URI; a host may also be a whole URI. Login and password are the server's
    user, a password alone is a token.
    """

    default_conn_name = "mlops_mlflow"
    conn_type = "mlflow"
    hook_name = "MLflow"
    login_variable, password_variable = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
    token_variable = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 - the variable's name

    def settings(self) -> dict[str, Any]:
        """Return the tracking and registry URI."""
        uri = self.url or defaults.option("mlflow_uri") or f"sqlite:///{artifact_folder()}/mlflow.db"
        if "@" in uri.partition("://")[2].partition("/")[0]:
            raise self.error(
                "MLflow's URI has a password in it, which every manifest would show; run an MLflow server in front of "
                "that database, and name the server here"
            )
        return {"uri": uri}

    def get_conn(self) -> Any:
        """Return an ``MlflowClient``. :raises BackendError: if the server does not answer."""
        from airflow_mlops_provider.backends.tracking.mlflow.server import MlflowServer

        return MlflowServer(*self.access()).client

    def access(self) -> tuple[str, dict[str, str] | None]:
        """Return the URI and the credentials for it; None for those of the environment, where no connection is defined.

        A connection without any has none: the environment's are for another server.
        """
        return self.settings()["uri"], self.secrets() if self.defined else None

    def model(self, uri: str, store: ArtifactStore, product: str) -> Model:
        """Return the model of an MLflow URI; what anybody's code logged is kept in the artifact root, by its content.

        :param uri: ``models:/<name>/<version>``, ``models:/<name>@<alias>`` or ``runs:/<run>/<path>``.
        :param product: under whose name it is kept.
        :raises ConfigurationError, UnknownNameError: if there is none, or none that can be loaded without unpickling.
        """
        from airflow_mlops_provider.backends.tracking.mlflow.models import MlflowModels

        server, credentials = self.access()
        models = MlflowModels(server)
        models.credentials = credentials
        known = models.ours(uri)
        if known:
            return known.model_copy(update={"uri": f"{store.uri}/{key_below(store, known.uri)}"})
        with tempfile.TemporaryDirectory(prefix="mlops-model-") as scratch:
            folder = Path(scratch) / "model"
            models.take(uri, folder)
            content = content_hash(folder)
            key = product_key(product, "external", content)
            store.upload(folder, key)
        return Model(uri=f"{store.uri}/{key}", hash=content, facts={"mlflow": uri})

    def run_page(self, run_id: str) -> str:
        """Return the page on which a person sees a run; empty where MLflow has no server, or does not answer."""
        import httpx

        uri = self.settings()["uri"]
        if not uri.startswith("http"):
            return ""
        try:
            with client(uri, self.credentials, self.token, probes.SECONDS) as opened:
                answer = opened.get("/api/2.0/mlflow/runs/get", params={"run_id": run_id}).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            self.log.warning("MLflow does not say where run %s is shown: %s", run_id, error)
            return ""
        return f"{uri}/#/experiments/{answer['run']['info']['experiment_id']}/runs/{run_id}"

    def probe(self) -> str:
        """Search MLflow's experiments, or look into its file."""
        uri = self.settings()["uri"]
        if uri.startswith("http"):
            probes.http(f"{uri}/api/2.0/mlflow/experiments/search?max_results=1", self.credentials, self.token)
            return f"MLflow answers at {uri}"
        if uri.startswith("sqlite:///"):
            return probes.sqlite_file(uri.removeprefix("sqlite:///"))
        return f"{uri} is left to MLflow; only servers and SQLite files can be tried from here"
