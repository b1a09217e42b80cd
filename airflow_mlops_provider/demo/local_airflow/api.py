"""Airflow's REST API, as the administrator of a local stack sees it, or another of its users."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from airflow_mlops_provider.demo.local_airflow.settings import USER, password
from airflow_mlops_provider.exceptions import BackendError

PAGE = 100  # what the API gives at most
LOCKED_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds between the tries of a request that SQLite's lock rolled back
Row = dict[str, Any]


class AirflowApi:
    """Authenticated calls to ``/api/v2`` of an API server, ``http://127.0.0.1:8080``; its home holds the passwords."""

    def __init__(self, url: str, home: Path, user: str = USER) -> None:
        self.url = url
        self._home, self._user = home, user
        # Local by definition: a proxy from the environment must not see it.
        self._http = httpx.Client(base_url=url, timeout=120, trust_env=False)
        self._token: str | None = None

    def of(self, user: str) -> AirflowApi:
        """Return the same as another user sees it."""
        return AirflowApi(self.url, self._home, user)

    def call(self, method: str, path: str, *, params: Any = None, body: Any = None) -> Any:
        """Return the JSON answer, None where there is none. :raises BackendError: quoting the server, if it refuses."""
        answer = self.answer(method, path, params=params, body=body)
        if answer.is_error:
            raise BackendError(f"{method} {path}: Airflow answered {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else None

    def answer(self, method: str, path: str, *, params: Any = None, body: Any = None) -> httpx.Response:
        """Return what the server answers, a refusal too. :raises BackendError: if nothing answers."""
        try:
            answer = self._send(method, path, params, body)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                # Tokens end after a day, and with the server's keys.
                self._token = None
                answer = self._send(method, path, params, body)
            for wait in LOCKED_WAITS:
                if not _is_locked(answer):
                    break
                time.sleep(wait)
                answer = self._send(method, path, params, body)
        except httpx.TransportError as error:
            raise BackendError(f"{method} {path}: Airflow at {self.url} does not answer: {error!r}") from error
        return answer

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body={} if body is None else body)

    def rows(self, path: str, key: str, **params: Any) -> list[Row]:
        """Return a whole listing, page by page; an answer has its rows under ``key``."""
        rows: list[Row] = []
        while True:
            page = self.get(path, limit=PAGE, offset=len(rows), **params)[key]
            rows += page
            if len(page) < PAGE:
                return rows

    def dag_runs(self, dag_id: str = "~", **params: Any) -> list[Row]:
        """Return a DAG's runs, oldest first; every DAG's by default."""
        return self.rows(f"dags/{dag_id}/dagRuns", "dag_runs", order_by="run_after", **params)

    def task_instances(self, dag_id: str = "~", run_id: str = "~", **params: Any) -> list[Row]:
        """Return the task instances of a run, of a DAG or of all DAGs, in the order in which they ended."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return self.rows(path, "task_instances", order_by="end_date", **params)

    def asset_events(self, **params: Any) -> list[Row]:
        """Return the asset events, oldest first."""
        return self.rows("assets/events", "asset_events", order_by="timestamp", **params)

    def events_of(self, run: Row) -> list[Row]:
        """Return the asset events that started a run."""
        if run["run_type"] != "asset_triggered":
            return []
        return list(self.get(f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents")["asset_events"])

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, **fields: str) -> str:
        """Start a run of a DAG now and return its id; ``fields`` are further ones of the run, as its data interval."""
        body = {"logical_date": None, "conf": conf or {}, **fields}
        return str(self.post(f"dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def health(self) -> dict[str, Any]:
        """Return each component's health; empty while the server does not answer."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
        except httpx.TransportError:
            return {}
        return dict(answer.json()) if answer.is_success else {}

    def warm_up(self) -> None:
        """Make the server build its task interface now: it does so on the first request, which takes seconds."""
        try:
            self._http.get("/execution/health", timeout=60)
        except httpx.TransportError as error:
            raise BackendError(f"Airflow at {self.url} does not answer tasks: {error!r}") from error

    def _send(self, method: str, path: str, params: Any, body: Any) -> httpx.Response:
        if self._token is None:
            login = self._http.post(
                "/auth/token", json={"username": self._user, "password": password(self._home, self._user)}
            )
            if login.is_error:
                raise BackendError(f"Airflow at {self.url} refused the login of {self._user!r}: {login.text[:500]}")
            self._token = str(login.json()["access_token"])
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._http.request(method, f"/api/v2/{path.lstrip('/')}", params=params, json=body, headers=headers)


def _is_locked(answer: httpx.Response) -> bool:
    """Tell an answer that Airflow's database refused: two requests that read before they write lock each other out."""
    return answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR and '"Database error"' in answer.text
