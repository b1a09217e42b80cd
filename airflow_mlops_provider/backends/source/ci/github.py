"""GitHub Actions, by its REST API."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.backends.source.ci.base import IMAGE_ARTIFACT, LARGEST, CIRun, CISystem, State
from airflow_mlops_provider.backends.source.forges.github import GitHub
from airflow_mlops_provider.exceptions import ConflictError
from airflow_mlops_provider.lifecycle.records.spec import Repository

_STATES = {"success": State.GREEN, "cancelled": State.CANCELLED}
_FINE = {"success", "skipped", "neutral", None}


class GitHubActions(CISystem):
    """GitHub's, or an Enterprise Server's. A dispatched run is known by its name, which the workflow makes of the key.

    A dispatch answers without saying which run it began.
    """

    default_url = "https://github.com"
    key_name = "mlops_key"

    def __init__(self, url: str, project: str, credentials: Credentials, workflow: str = "mlops.yml") -> None:
        super().__init__(url, project, credentials, workflow or "mlops.yml")
        self._forge = GitHub(Repository(remote=f"{self.url}/{project}", forge="github", path="."), credentials)
        self.api = self._forge.api

    def headers(self) -> dict[str, str]:
        return self._forge.headers()

    @property
    def home(self) -> str:
        return f"/repos/{self._forge.project}"

    def find(self, key: str) -> CIRun | None:
        path = f"{self.home}/actions/workflows/{self.workflow}/runs"
        for page in self.pages(path, event="workflow_dispatch"):  # the newest first
            for run in page["workflow_runs"]:
                if run["display_title"] == key:
                    return _run(run)
        return None

    def start(self, ref: str | None, inputs: Mapping[str, str]) -> CIRun | None:
        branch = ref or self.get(self.home)["default_branch"]
        path = f"{self.home}/actions/workflows/{self.workflow}/dispatches"
        self.post(path, json={"ref": branch, "inputs": dict(inputs)})
        return None

    def look(self, run_id: str, key: str) -> CIRun:  # noqa: ARG002  # the id stays the same
        return _run(self.get(f"{self.home}/actions/runs/{run_id}"))

    def failure(self, run: CIRun) -> str:
        for page in self.pages(f"{self.home}/actions/runs/{run.id}/jobs"):
            for job in page["jobs"]:
                if job["conclusion"] not in _FINE:
                    steps = (step["name"] for step in job.get("steps") or () if step["conclusion"] not in _FINE)
                    return f"job {job['name']}, step {next(steps, 'unknown')} ({job['html_url']})"
        return ""

    def file(self, run: CIRun, name: str) -> bytes | None:
        for page in self.pages(f"{self.home}/actions/runs/{run.id}/artifacts", name=IMAGE_ARTIFACT):
            for artifact in page["artifacts"]:
                kept = self.text(f"{self.home}/actions/artifacts/{artifact['id']}/zip")
                if kept is None:
                    continue
                with zipfile.ZipFile(io.BytesIO(kept.content)) as files:
                    if name in files.namelist() and files.getinfo(name).file_size <= LARGEST:
                        return files.read(name)
        return None

    def stop(self, run: CIRun) -> None:
        path = f"{self.home}/actions/runs/{run.id}/cancel"
        answer = self.ask("POST", path)
        if answer.status_code >= 400 and not isinstance(error := self.trouble(answer, path), ConflictError):
            raise error  # a conflict: it has ended


def _run(run: dict[str, Any]) -> CIRun:
    ended = run["status"] == "completed"
    state = _STATES.get(run["conclusion"], State.RED) if ended else State.RUNNING
    return CIRun(str(run["id"]), run["html_url"], state, str(run["conclusion"] or ""), run["head_sha"])


CI = GitHubActions
