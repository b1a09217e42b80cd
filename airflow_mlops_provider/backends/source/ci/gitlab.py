"""GitLab CI, by its pipelines API."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.backends.source.ci.base import LARGEST, CIRun, CISystem, State
from airflow_mlops_provider.backends.source.forges.gitlab import GitLab
from airflow_mlops_provider.lifecycle.records.spec import Repository

_STATES = {
    "success": State.GREEN,
    "failed": State.RED,
    "skipped": State.RED,
    "canceled": State.CANCELLED,
    "canceling": State.CANCELLED,
}
#: A pipeline's variables are asked for one by one: so many of the newest that the API has begun are looked at.
_NEWEST = 50


class GitLabCI(CISystem):
    """GitLab's, with groups as deep as they come. A pipeline is known by its variables."""

    default_url = "https://gitlab.com"

    def __init__(self, url: str, project: str, credentials: Credentials, workflow: str = "") -> None:
        super().__init__(url, project, credentials, workflow)
        self._forge = GitLab(Repository(remote=f"{self.url}/{project}", forge="gitlab", path="."), credentials)
        self.api = self._forge.api

    def headers(self) -> dict[str, str]:
        return self._forge.headers()

    @property
    def home(self) -> str:
        return f"/projects/{quote(self._forge.project, safe='')}"

    def find(self, key: str) -> CIRun | None:
        pages = self.pages(f"{self.home}/pipelines", source="api", order_by="id", sort="desc")
        for pipeline in islice((pipeline for page in pages for pipeline in page), _NEWEST):
            variables = self.get(f"{self.home}/pipelines/{pipeline['id']}/variables")
            if any((variable["key"], variable["value"]) == (self.key_name, key) for variable in variables):
                return _run(pipeline)
        return None

    def start(self, ref: str | None, inputs: Mapping[str, str]) -> CIRun | None:
        branch = ref or self.get(self.home)["default_branch"]
        variables = [{"key": name, "value": value} for name, value in inputs.items()]
        answer = self.post(f"{self.home}/pipeline", json={"ref": branch, "variables": variables})
        return _run(answer.json())

    def look(self, run_id: str, key: str) -> CIRun:  # noqa: ARG002  # the id stays the same
        return _run(self.get(f"{self.home}/pipelines/{run_id}"))

    def failure(self, run: CIRun) -> str:
        for page in self.pages(f"{self.home}/pipelines/{run.id}/jobs", **{"scope[]": "failed"}):
            for job in page:
                if not job.get("allow_failure"):
                    return f"job {job['name']} ({job['web_url']})"
        return ""

    def file(self, run: CIRun, name: str) -> bytes | None:
        for page in self.pages(f"{self.home}/pipelines/{run.id}/jobs", **{"scope[]": "success"}):
            for job in page:
                if job.get("artifacts_file"):
                    kept = self.text(f"{self.home}/jobs/{job['id']}/artifacts/{name}")
                    if kept is not None and len(kept.content) <= LARGEST:
                        return kept.content
        return None

    def stop(self, run: CIRun) -> None:
        self.post(f"{self.home}/pipelines/{run.id}/cancel")


def _run(pipeline: dict[str, Any]) -> CIRun:
    status = pipeline["status"]
    state = _STATES.get(status, State.RUNNING)
    return CIRun(str(pipeline["id"]), pipeline["web_url"], state, status, pipeline["sha"])


CI = GitLabCI
