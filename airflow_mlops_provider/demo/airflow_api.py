"""Airflow's REST API, as an administrator of a local stack sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from airflow_mlops_provider.demo.settings import USER, password
from airflow_mlops_provider.exceptions import BackendError


class AirflowApi:
    """Authenticated calls to ``/api/v2``.

    :param url: the API server, ``http://127.0.0.1:8080``.
    :param home: the stack's home, which holds the password.
    """

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self._home = home
        # Local by definition: a proxy from the environment must not see it.
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self._token: str | None = None

    def call(self, method: str, path: str, *, params: Any = None, body: Any = None) -> Any:
        """Call the API and return the JSON answer, None where there is none.

        :raises BackendError: if the server does not answer or refuses; the message holds its own words.
        """
        try:
            answer = self._send(method, path, params, body)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                # Tokens end after a day, and with the server's keys.
                self._token = None
                answer = self._send(method, path, params, body)
        except httpx.TransportError as error:
            raise BackendError(f"{method} {path}: Airflow at {self.url} does not answer: {error!r}") from error
        if answer.is_error:
            raise BackendError(f"{method} {path}: Airflow answered {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else None

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

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(self, method: str, path: str, params: Any, body: Any) -> httpx.Response:
        if self._token is None:
            login = self._http.post("/auth/token", json={"username": USER, "password": password(self._home)})
            if login.is_error:
                raise BackendError(f"Airflow at {self.url} refused the login of {USER!r}: {login.text[:500]}")
            self._token = str(login.json()["access_token"])
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._http.request(method, f"/api/v2/{path.lstrip('/')}", params=params, json=body, headers=headers)
