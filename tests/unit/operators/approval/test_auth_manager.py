"""Who has a role of Airflow's, by the simple auth manager's configuration and by FAB's API over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, UnknownNameError
from airflow_mlops_provider.operators.approval.auth_manager import users_with
from tests.factories.http_host import HttpHost

SIMPLE = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
USERS = [
    *({"username": f"viewer{number}", "roles": [{"name": "Viewer"}]} for number in range(120)),
    {"username": "ada", "roles": [{"name": "Op"}, {"name": "ReleaseManager"}], "active": True},
    {"username": "ben", "roles": [{"name": "ReleaseManager"}], "active": False},
    {"username": "cleo", "roles": None},
]
ROLES = [{"name": name} for name in ("Admin", "Op", "ReleaseManager", "Viewer")]


class Fab(HttpHost):
    """What of the FAB provider's API says who has which role."""

    broken = False

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Give a token to whom knows the password, and pages of at most 100 to whom has the token."""
        given = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        status, value = self.spoken(handler, given)
        body = b"<html>" if self.broken else json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def spoken(self, handler: BaseHTTPRequestHandler, given: bytes) -> tuple[int, Any]:
        parts = urlsplit(handler.path)
        if parts.path == "/auth/token":
            fits = json.loads(given) == {"username": "reader", "password": "sesame"}
            return (201, {"access_token": "t"}) if fits else (401, {"detail": "Invalid credentials"})
        if handler.headers.get("authorization") != "Bearer t":
            return 401, {}
        query = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        (name,) = {"users", "roles"} & {parts.path.removeprefix("/auth/fab/v1/")}
        rows = USERS if name == "users" else ROLES
        part = rows[query["offset"] : query["offset"] + min(100, query["limit"])]
        return 200, {name: part, "total_entries": len(rows)}


@pytest.fixture
def fab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fab]:
    with Fab() as host:
        monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", FAB)
        account = {"conn_type": "http", "host": host.url, "login": "reader", "password": "sesame"}
        monkeypatch.setenv("AIRFLOW_CONN_MLOPS_AIRFLOW", json.dumps(account))
        yield host


@pytest.fixture
def simple(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", SIMPLE)
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "ada:op,ben:viewer,cleo:OP")


def test_the_simple_auth_manager_says_it(simple: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its configuration as it is now, however a role is spelled; an unknown role lists those there are."""
    assert users_with(["Op"]) == {"ada": ("Op",), "cleo": ("Op",)}
    assert users_with(["op", "viewer"])["ben"] == ("viewer",)
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "ada:viewer,cleo:op")
    assert users_with(["Op"]) == {"cleo": ("Op",)}
    with pytest.raises(UnknownNameError, match=r"ReleaseManager.*admin, op, user, viewer"):
        users_with(["op", "ReleaseManager"])


def test_fab_says_it(fab: Fab) -> None:
    """By its API, page by page; who is not active has no role; an unknown role lists those there are."""
    assert users_with(["ReleaseManager", "Op"]) == {"ada": ("Op", "ReleaseManager")}
    assert len(users_with(["Viewer"])) == 120
    with pytest.raises(UnknownNameError, match=r"Boss.*Admin.*Op.*ReleaseManager.*Viewer"):
        users_with(["Boss"])


def test_who_may_not_ask_is_told(fab: Fab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password, no account, something else at that address: each by name, and never the password."""
    fab.broken = True
    with pytest.raises(BackendError, match="its answer is not the FAB auth manager's"):
        users_with(["Op"])
    fab.broken = False
    account = {"conn_type": "http", "host": fab.url, "login": "reader", "password": "wrong-secret"}
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_AIRFLOW", json.dumps(account))
    with pytest.raises(ConfigurationError, match="let read users and roles") as refused:
        users_with(["Op"])
    assert "wrong-secret" not in str(refused.value)
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_AIRFLOW", json.dumps({**account, "host": "http://127.0.0.1:9"}))
    with pytest.raises(BackendError, match=r"127\.0\.0\.1:9 does not say"):
        users_with(["Op"])


def test_roles_that_tell_nobody_apart(simple: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody an administrator, or an auth manager that can't be asked: nothing is guessed."""
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
    with pytest.raises(ConfigurationError, match="roles tell nobody apart"):
        users_with(["op"])
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "somebody.elses.KeycloakAuthManager")
    with pytest.raises(ConfigurationError, match="not KeycloakAuthManager; name the people"):
        users_with(["op"])
