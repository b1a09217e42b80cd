"""Gitea and Forgejo: pull requests by their API."""

from __future__ import annotations

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.backends.source.forges.base import Forge
from airflow_mlops_provider.lifecycle.records.spec import Repository


class Gitea(Forge):
    """Gitea and Forgejo; not necessarily at the top of their host."""

    def __init__(self, repository: Repository, credentials: Credentials) -> None:
        super().__init__(repository, credentials)
        self.project = "/".join(self.project.split("/")[-2:])

    def default_api(self) -> str:
        return "/".join([self.web, *self.project.split("/")[:-2], "api/v1"])

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.credentials.token}"}

    def search(self, branch: str, base: str) -> dict[str, str]:  # noqa: ARG002  # not to be asked for
        return {"state": "open", "base_branch": base, "limit": "50"}


FORGE = Gitea
