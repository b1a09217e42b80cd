"""A model server that others start and keep: the connection ``mlops_model_server`` says where."""

from __future__ import annotations

from airflow_mlops_provider.backends.model_server.base import Served
from airflow_mlops_provider.backends.model_server.following import FollowingServer
from airflow_mlops_provider.exceptions import ConfigurationError


class UrlServer(FollowingServer):
    """A server of this package that runs already, such as one that the Helm chart keeps, asked at one address."""

    managed = False

    def __init__(self, served: Served) -> None:
        super().__init__(served)
        if served.connected is None:
            raise ConfigurationError(
                f"{served.product} is served at the address that the Airflow connection mlops_model_server names, and "
                'that has no host: fill it in, or declare serving.target="local"'
            )


SERVER = UrlServer
