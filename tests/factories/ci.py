"""GitHub Actions, GitLab CI and Jenkins, as far as their REST references say it, for runs that a test lets end."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from tests.factories.forge import Answer, RefusedError, _body, _send
from tests.factories.http_host import HttpHost

PROJECT, USER, TOKEN = "team/models", "ann", "sesame"
IMAGE = f"registry.example/team/models@sha256:{'a1' * 32}"
UNBUILT = "cancelled in the queue"
#: What a run leaves beside its image.
BILL = b'{"bomFormat": "CycloneDX", "specVersion": "1.6"}'
COMMIT = "c0ffee" * 6 + "c0ff"


@dataclass
class Run:
    """A run: where it came from, and how it ended, in the words of its system."""

    id: int
    ref: str
    inputs: dict[str, str]
    end: str = ""
    image: str = ""
    bill: bytes | None = BILL
    queued: bool = False
    unseen: int = 0


@dataclass
class CIWorld(HttpHost):
    """One host of one kind with one project.

    :param kind: whose API it speaks.
    :param fails: answers to give in place of the next requests, oldest first; None lets one through.
    :param drops: whether the next start is answered by a 502 though it has begun.
    :param unseen: in how many lists a new run is not shown yet. :param forgets: the queue has forgotten its items.
    :param ends: whether a run is green at once.
    """

    kind: str
    fails: list[Answer | None] = field(default_factory=list)
    drops: bool = False
    unseen: int = 0
    forgets: bool = False
    ends: bool = False
    runs: list[Run] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def connection(self, token: str = TOKEN) -> dict[str, Any]:
        """Return the Airflow connection to it."""
        extra = {"kind": self.kind, "project": PROJECT}
        return {"conn_type": "mlops_ci", "host": self.url, "login": USER, "password": token, "extra": extra}

    def end(self, green: bool = True, image: str = IMAGE) -> Run:
        """Let the newest run end."""
        run = self.runs[-1]
        words = {"github": ("success", "failure"), "gitlab": ("success", "failed"), "jenkins": ("SUCCESS", "FAILURE")}
        run.end, run.image, run.queued = words[self.kind][not green], image if green else "", False
        return run

    def begin(self, ref: str, inputs: dict[str, str]) -> Run:
        """Begin a run."""
        self.runs.append(Run(len(self.runs) + 101, ref, inputs, queued=self.kind == "jenkins", unseen=self.unseen))
        return self.end() if self.ends else self.runs[-1]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = _body(handler)
        self.asked.append(f"{handler.command} {handler.path}")
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        failure = self.fails.pop(0) if self.fails else None
        try:
            speak: Callable[..., Any] = {"github": github, "gitlab": gitlab, "jenkins": jenkins}[self.kind]
            begun = len(self.runs)
            status, value, headers = failure or speak(self, handler, parts.path, query, body)
            if self.drops and len(self.runs) > begun:
                self.drops = False
                status, value, headers = 502, {"message": "Bad Gateway"}, {}
        except RefusedError as refused:
            status, value, headers = refused.status, {"message": str(refused)}, {}
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        _send(handler, status, b"" if status in {204, 302} else content, headers)

    def run_of(self, number: str) -> Run:
        """Return a run. :raises RefusedError: if there is none."""
        for run in self.runs:
            if str(run.id) == number:
                return run
        raise RefusedError(404, "Not Found")

    def page(self, shown: list[Any], query: dict[str, str], most: int = 100) -> tuple[list[Any], dict[str, str]]:
        """Return a page of a list and, if there is a next one, its link."""
        size, page = min(int(query.get("per_page", "20")), most), int(query.get("page", "1"))
        more = len(shown) > page * size
        return shown[(page - 1) * size : page * size], {
            "Link": f'<{self.url}/?page={page + 1}>; rel="next"'
        } if more else {}


def github(world: CIWorld, handler: BaseHTTPRequestHandler, path: str, query: dict[str, str], body: bytes) -> Answer:
    """Answer as GitHub does; a run's name is what the workflow's run-name makes of the input."""
    if path == "/blob":
        assert "Authorization" not in handler.headers  # that host is not GitHub's
        return 200, _zipped(world.run_of(query["run"])), {}
    if handler.headers.get("Authorization") != f"Bearer {TOKEN}":
        raise RefusedError(401, "Bad credentials")
    below = path.removeprefix(f"/api/v3/repos/{PROJECT}")
    if below == path:
        raise RefusedError(404, "Not Found")
    if not below:
        return 200, {"full_name": PROJECT, "default_branch": "main"}, {}
    if below == "/actions/workflows/mlops.yml/dispatches":
        given = json.loads(body)
        if odd := set(given["inputs"]) - {"mlops_key", "reason"}:
            raise RefusedError(422, f"Unexpected inputs provided: {sorted(odd)}")
        if given["ref"] not in {"main", "next"}:
            raise RefusedError(422, f"No ref found for: {given['ref']}")
        world.begin(given["ref"], given["inputs"])
        return 204, {}, {}
    if below == "/actions/workflows/mlops.yml/runs":
        assert query["event"] == "workflow_dispatch"
        part, headers = world.page([run for run in reversed(world.runs) if run.unseen == 0], query)
        for run in world.runs:
            run.unseen = max(0, run.unseen - 1)
        return 200, {"total_count": len(world.runs), "workflow_runs": [_github(world, run) for run in part]}, headers
    return _github_runs(world, below, query)


def _github_runs(world: CIWorld, below: str, query: dict[str, str]) -> Answer:
    if found := re.fullmatch(r"/actions/artifacts/(\d+)/zip", below):
        port = world.url.rpartition(":")[2]
        return 302, {}, {"Location": f"http://localhost:{port}/blob?run={int(found[1]) - 5000}"}
    found = re.fullmatch(r"/actions/runs/(\d+)(/\w+)?", below)
    run = world.run_of(found[1] if found else "")
    return _github_run(world, run, (found and found[2]) or "", query)


def _github_run(world: CIWorld, run: Run, what: str, query: dict[str, str]) -> Answer:
    if what == "/cancel":
        if run.end:
            raise RefusedError(409, "Cannot cancel a workflow run that is completed.")
        run.end = "cancelled"
        return 202, {}, {}
    if what == "/artifacts":
        made = [{"id": run.id + 5000, "name": "image"}] if run.image and query.get("name", "image") == "image" else []
        return 200, {"total_count": len(made), "artifacts": made}, {}
    if what == "/jobs":
        page = {"conclusion": "success", "name": "lint", "html_url": f"{world.url}/job/1", "steps": []}
        red = [{"name": "install", "conclusion": "success"}, {"name": "model", "conclusion": run.end or None}]
        jobs = [
            *[page] * 100,
            {"conclusion": run.end or None, "name": "check", "html_url": f"{world.url}/job/2", "steps": red},
        ]
        part, headers = world.page(jobs, query)
        return 200, {"total_count": len(jobs), "jobs": part}, headers
    return 200, _github(world, run), {}


def _github(world: CIWorld, run: Run) -> dict[str, Any]:
    status, conclusion = ("completed", run.end) if run.end else ("in_progress", None)
    title, url = run.inputs.get("mlops_key") or "push", f"{world.url}/{PROJECT}/actions/runs/{run.id}"
    shown = {"id": run.id, "display_title": title, "html_url": url, "head_sha": COMMIT}
    return {**shown, "status": status, "conclusion": conclusion}


def _files(run: Run) -> dict[str, bytes]:
    """Return what a run has left with its image."""
    bill = {} if run.bill is None else {"sbom.cdx.json": run.bill}
    return {"image.txt": f"{run.image}\n".encode(), **bill} if run.image else {}


def _zipped(run: Run) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        for name, data in _files(run).items():
            files.writestr(name, data)
    return packed.getvalue()


def gitlab(world: CIWorld, handler: BaseHTTPRequestHandler, path: str, query: dict[str, str], body: bytes) -> Answer:
    """Answer as GitLab does: variables of a pipeline are a list of their own."""
    if handler.headers.get("PRIVATE-TOKEN") != TOKEN:
        raise RefusedError(401, "401 Unauthorized")
    below = path.removeprefix(f"/api/v4/projects/{quote(PROJECT, safe='')}")
    if below == path:
        raise RefusedError(404, "404 Project Not Found")
    if not below:
        return 200, {"path_with_namespace": PROJECT, "default_branch": "main"}, {}
    if below == "/pipeline" and handler.command == "POST":
        given = json.loads(body)
        run = world.begin(given["ref"], {one["key"]: one["value"] for one in given["variables"]})
        return 201, _gitlab(world, run), {}
    if below == "/pipelines":
        assert query["source"] == "api"
        part, headers = world.page([*reversed(world.runs)], query)
        return 200, [_gitlab(world, run) for run in part], headers
    if found := re.fullmatch(r"/jobs/(\d+)/artifacts/([\w.]+)", below):
        kept = _files(world.run_of(str(int(found[1]) - 9000))).get(found[2])
        if kept is None:
            raise RefusedError(404, "404 Not Found")
        return 200, kept, {}
    return _gitlab_pipeline(world, below, query)


def _gitlab_pipeline(world: CIWorld, below: str, query: dict[str, str]) -> Answer:
    found = re.fullmatch(r"/pipelines/(\d+)(/\w+)?", below)
    run, what = world.run_of(found[1] if found else ""), (found and found[2]) or ""
    if what == "/variables":
        return 200, [{"variable_type": "env_var", "key": key, "value": value} for key, value in run.inputs.items()], {}
    if what == "/cancel":
        run.end = run.end or "canceled"
    if what == "/jobs":
        return 200, _gitlab_jobs(world, run, query["scope[]"]), {}
    return 200, _gitlab(world, run), {}


def _gitlab_jobs(world: CIWorld, run: Run, scope: str) -> list[dict[str, Any]]:
    if scope == "success":
        return [{"id": 9000 + run.id, "name": "deliver", "artifacts_file": {"filename": "artifacts.zip"}}]
    jobs = [("may fail", True), ("check model", False)]
    return [
        {"name": name, "allow_failure": may, "web_url": f"{world.url}/{PROJECT}/-/jobs/{number}"}
        for number, (name, may) in enumerate(jobs)
    ]


def _gitlab(world: CIWorld, run: Run) -> dict[str, Any]:
    url = f"{world.url}/{PROJECT}/-/pipelines/{run.id}"
    return {
        "id": run.id,
        "status": run.end or "running",
        "web_url": url,
        "sha": COMMIT,
        "ref": run.ref,
        "source": "api",
    }


def jenkins(world: CIWorld, handler: BaseHTTPRequestHandler, path: str, query: dict[str, str], body: bytes) -> Answer:
    """Answer as Jenkins does: an item in the queue, then a build; who posts brings a crumb and its session."""
    if handler.headers.get("Authorization") != f"Basic {base64.b64encode(f'{USER}:{TOKEN}'.encode()).decode()}":
        raise RefusedError(401, "Invalid password/token for user: ann")
    if path == "/crumbIssuer/api/json":
        return 200, {"crumb": "c1", "crumbRequestField": "Jenkins-Crumb"}, {"Set-Cookie": "JSESSIONID=s1; Path=/"}
    if handler.command == "POST":
        sent = handler.headers.get("Jenkins-Crumb"), handler.headers.get("Cookie")
        if sent != ("c1", "JSESSIONID=s1"):
            raise RefusedError(403, "No valid crumb was included in the request")
    return _jenkins_queue(world, path, query) or _jenkins_job(world, path, body)


def _jenkins_queue(world: CIWorld, path: str, query: dict[str, str]) -> Answer | None:
    if path == "/queue/api/json":
        return 200, {"items": [_item(world, run) for run in world.runs if run.queued]}, {}
    if found := re.fullmatch(r"/queue/item/(\d+)/api/json", path):
        run = world.run_of(str(int(found[1]) + 100))
        if world.forgets and not run.queued:
            raise RefusedError(404, "Not Found")
        return 200, _item(world, run), {}
    if path == "/queue/cancelItem":
        run = world.run_of(str(int(query["id"]) + 100))
        run.queued, run.end = False, UNBUILT
        return 204, {}, {}
    return None


def _jenkins_job(world: CIWorld, path: str, body: bytes) -> Answer:
    below = path.removeprefix("/job/team/job/models")
    if below == path:
        raise RefusedError(404, "Not Found")
    if below == "/buildWithParameters":
        run = world.begin("", {name: values[0] for name, values in parse_qs(body.decode()).items()})
        return 201, {}, {"Location": f"{world.url}/queue/item/{run.id - 100}/"}
    if below == "/api/json":
        built = [run for run in reversed(world.runs) if not run.queued and run.end != UNBUILT]
        return 200, {"builds": [_build(world, run) for run in built]}, {}
    number, _, rest = below.strip("/").partition("/")
    run = world.run_of(number)
    if rest == "stop":
        run.end = run.end or "ABORTED"
        return 302, {}, {"Location": f"{world.url}/job/team/job/models/{number}/"}
    if rest == "wfapi/describe":
        stages = [{"name": "data", "status": "SUCCESS"}, {"name": "model", "status": "FAILED"}]
        return 200, {"stages": stages, "status": "FAILED"}, {}
    if rest.startswith("artifact/"):
        kept = _files(run).get(rest.removeprefix("artifact/"))
        return (404, {}, {}) if kept is None else (200, kept, {})
    return 200, _build(world, run), {}


def _parameters(run: Run) -> dict[str, Any]:
    given = [{"name": name, "value": value} for name, value in run.inputs.items()]
    return {"_class": "hudson.model.ParametersAction", "parameters": given}


def _item(world: CIWorld, run: Run) -> dict[str, Any]:
    task = {"name": "models", "url": f"{world.url}/job/team/job/models/"}
    item: dict[str, Any] = {"id": run.id - 100, "task": task, "actions": [_parameters(run), {}], "why": "Waiting"}
    if run.end == UNBUILT:
        return {**item, "cancelled": True}
    return item if run.queued else {**item, "executable": {"number": run.id, "url": f"{task['url']}{run.id}/"}}


def _build(world: CIWorld, run: Run) -> dict[str, Any]:
    actions = [_parameters(run), {}, {"lastBuiltRevision": {"SHA1": COMMIT}}]
    url = f"{world.url}/job/team/job/models/{run.id}/"
    return {"number": run.id, "url": url, "result": run.end or None, "actions": actions}
