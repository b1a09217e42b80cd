"""GitLab: its merge requests."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.backends.source.forges.base import Forge


class GitLab(Forge):
    """GitLab, with groups as deep as they come."""

    pulls = "/projects/{quoted}/merge_requests"
    page_field = "web_url"
    number_field = "iid"

    def default_api(self) -> str:
        return f"{self.web}/api/v4"

    def headers(self) -> dict[str, str]:
        return {"PRIVATE-TOKEN": self.credentials.token}

    def search(self, branch: str, base: str) -> dict[str, str]:
        return {"state": "opened", "source_branch": branch, "target_branch": base, "per_page": "100"}

    def is_it(self, pull: dict[str, Any], branch: str, base: str) -> bool:
        ours = pull["source_project_id"] == pull["target_project_id"]
        return ours and (pull["source_branch"], pull["target_branch"]) == (branch, base)

    def form(self, branch: str, base: str, title: str, body: str) -> dict[str, Any]:
        return {"title": title[:255], "description": body, "source_branch": branch, "target_branch": base}


FORGE = GitLab
