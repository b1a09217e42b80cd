"""GitHub: pull requests by its REST API."""

from __future__ import annotations

from airflow_mlops_provider.backends.source.forges.base import Forge


class GitHub(Forge):
    """GitHub, or GitHub Enterprise Server on a host of its own."""

    taken = (422,)

    def default_api(self) -> str:
        return "https://api.github.com" if self.web == "https://github.com" else f"{self.web}/api/v3"

    def headers(self) -> dict[str, str]:
        return {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.credentials.token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def search(self, branch: str, base: str) -> dict[str, str]:
        return {"state": "open", "head": f"{self.project.partition('/')[0]}:{branch}", "base": base, "per_page": "100"}


FORGE = GitHub
