"""A CI system: GitHub Actions' API, as Acme's own forge speaks it at another place."""

from __future__ import annotations

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.backends.source.ci.github import GitHubActions


class AcmeCI(GitHubActions):
    """Actions behind ``/git``."""

    def __init__(self, url: str, project: str, credentials: Credentials, workflow: str = "") -> None:
        super().__init__(url, project, credentials, workflow)
        self.api = f"{self.url}/git/api/v1"
