"""A forge: Acme's own, which speaks Gitea's API at another place."""

from __future__ import annotations

from airflow_mlops_provider.backends.source.forges.gitea import Gitea


class AcmeForge(Gitea):
    """Gitea behind ``/git``."""

    def default_api(self) -> str:
        return f"{self.web}/git/api/v1"
