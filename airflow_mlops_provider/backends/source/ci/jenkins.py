"""Jenkins: a job with parameters, by its JSON API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow_mlops_provider.backends.source.ci.base import LARGEST, CIRun, CISystem, State
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError

_STATES = {None: State.RUNNING, "SUCCESS": State.GREEN, "ABORTED": State.CANCELLED}
_ACTIONS = "actions[parameters[name,value],lastBuiltRevision[SHA1]]"
_BUILD = f"number,url,result,{_ACTIONS}"
_QUEUED = "queue/"


class Jenkins(CISystem):
    """A job, ``folder/job``, or a branch of a multibranch one, ``folder/job/branch``. User and API token are asked for.

    What was asked for is an item of the queue first, and a build later; the queue forgets it after some minutes.
    """

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {self.credentials.basic}"}

    @property
    def home(self) -> str:
        return "".join(f"/job/{quote(part, safe='')}" for part in self.project.split("/"))

    def probe(self) -> str:
        self.get(f"{self.home}/api/json", tree="name")
        return f"{self.url} answers; {self.project} is there"

    def find(self, key: str) -> CIRun | None:
        queue = self.get("/queue/api/json", tree=f"items[id,url,task[url],{_ACTIONS}]")["items"]
        for item in sorted(queue, key=lambda item: -int(item["id"])):  # what waits is newer than what is built
            if self._key(item) == key and item["task"]["url"].rstrip("/").endswith(self.home):
                return CIRun(f"{_QUEUED}{item['id']}", f"{self.url}{self.home}/", State.RUNNING)
        builds = self.get(f"{self.home}/api/json", tree=f"builds[{_BUILD}]{{0,100}}")["builds"]
        return next((_run(build) for build in builds if self._key(build) == key), None)

    def _key(self, item: dict[str, Any]) -> str | None:
        given = (parameter for action in item["actions"] if action for parameter in action.get("parameters") or ())
        return next((parameter.get("value") for parameter in given if parameter["name"] == self.key_name), None)

    def start(self, ref: str | None, inputs: Mapping[str, str]) -> CIRun | None:
        if ref:
            raise ConfigurationError(
                f"a job of Jenkins says its branch itself: name it in the project, not ref={ref!r}"
            )
        answer = self._post(f"{self.home}/buildWithParameters", data=dict(inputs))
        item = re.search(r"/queue/item/(\d+)", answer.headers.get("location", ""))
        return CIRun(f"{_QUEUED}{item[1]}", f"{self.url}{self.home}/", State.RUNNING) if item else None

    def look(self, run_id: str, key: str) -> CIRun:
        number = run_id
        if run_id.startswith(_QUEUED):
            answer = self.text(f"/queue/item/{run_id.removeprefix(_QUEUED)}/api/json")
            item = answer.json() if answer else {}
            if item.get("cancelled"):
                return CIRun(run_id, f"{self.url}{self.home}/", State.CANCELLED, "cancelled in the queue")
            if not item.get("executable"):
                run = CIRun(run_id, f"{self.url}{self.home}/", State.RUNNING) if item else self.find(key)
                if run is None:
                    raise BackendError(f"{self.url}{self.home} knows neither {run_id} nor a build with {key}")
                return run
            number = item["executable"]["number"]
        return _run(self.get(f"{self.home}/{number}/api/json", tree=_BUILD))

    def failure(self, run: CIRun) -> str:
        # Of the plugin Pipeline: REST API, which a Jenkins may lack.
        answer = self.text(f"{self.home}/{run.id}/wfapi/describe")
        for stage in answer.json()["stages"] if answer else ():
            if stage["status"] in {"FAILED", "UNSTABLE"}:
                return f"stage {stage['name']} ({run.url}console)"
        return f"see {run.url}console"

    def file(self, run: CIRun, name: str) -> bytes | None:
        kept = self.text(f"{self.home}/{run.id}/artifact/{name}")
        return kept.content if kept and len(kept.content) <= LARGEST else None

    def stop(self, run: CIRun) -> None:
        if run.id.startswith(_QUEUED):
            self._post("/queue/cancelItem", params={"id": run.id.removeprefix(_QUEUED)})
        else:
            self._post(f"{self.home}/{run.id}/stop")

    def _post(self, path: str, **what: Any) -> Any:
        # Whoever comes with a password needs a crumb, and the session that it belongs to; with a token it does no harm.
        crumb = self.ask("GET", "/crumbIssuer/api/json")
        if crumb.status_code == 200:
            given = crumb.json()
            cookies = "; ".join(f"{name}={value}" for name, value in crumb.cookies.items())
            what["headers"] = {given["crumbRequestField"]: given["crumb"], **({"Cookie": cookies} if cookies else {})}
        elif crumb.status_code != 404:
            raise self.trouble(crumb, "/crumbIssuer/api/json")
        return self.post(path, **what)


def _run(build: dict[str, Any]) -> CIRun:
    result = build["result"]
    revisions = (action["lastBuiltRevision"]["SHA1"] for action in build["actions"] if "lastBuiltRevision" in action)
    state = _STATES.get(result, State.RED)
    return CIRun(str(build["number"]), build["url"], state, result or "", next(revisions, None))


CI = Jenkins
