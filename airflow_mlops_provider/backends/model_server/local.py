"""A model server on this machine, which outlives the job that starts it."""

from __future__ import annotations

import os

from airflow_mlops_provider.backends.model_server import launcher
from airflow_mlops_provider.backends.model_server.following import FollowingServer
from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.exceptions import ConfigurationError


class LocalServer(FollowingServer):
    """A process; with new code of the product another takes over its port."""

    def prepare(self, release: Release) -> None:
        """Make sure that a server runs with the product's code. :raises ConfigurationError: in a pod."""
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            raise ConfigurationError(
                "this job runs in a pod, and a model server that it started would end with it: declare "
                "serving.target=KubernetesDeployment(image=…), or run one for itself (helm/mlops-model-server) and "
                "name it in the Airflow connection mlops_model_server"
            )
        served, (code, options) = self.served, self.served.code_of(release)
        port = served.serving.grpc_port
        launcher.ensure_running(
            served.product,
            served.root,
            served.serving.host,
            served.port or served.serving.port,
            served.log,
            options=[*options, *(["--grpc-port", str(port)] if port else [])],
            code=code,
        )

    def stop(self) -> bool:
        """End the process."""
        return launcher.stop(self.served.product, self.served.root)


SERVER = LocalServer
