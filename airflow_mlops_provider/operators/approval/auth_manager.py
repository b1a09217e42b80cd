"""Which Airflow users have a role, by the auth manager's own word, asked anew each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import httpx
from airflow.sdk import Connection, conf
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, UnknownNameError

#: An account by which users and roles are read of Airflow's API, where the auth manager keeps them in its database.
CONNECTION = "mlops_airflow"
SECONDS = 30.0
_SIMPLE, _FAB = "SimpleAuthManager", "FabAuthManager"


def users_with(roles: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the users who have one of some roles now, with those that they have.

    :raises UnknownNameError: for a role that the auth manager doesn't know.
    :raises ConfigurationError: if it can't say who has one.
    :raises BackendError: if it doesn't answer.
    """
    manager = conf.get("core", "auth_manager", fallback="").rpartition(".")[2]
    kinds = {_SIMPLE: _of_simple, _FAB: _of_fab}
    if manager not in kinds:
        raise ConfigurationError(
            f"Approval(airflow_roles=…) needs an auth manager that says who has a role: {_SIMPLE} or {_FAB}, not "
            f"{manager or 'none'}; name the people in business.owners"
        )
    users, known = kinds[manager]()
    spelled = {name.lower(): name for name in known}
    if unknown := next((role for role in roles if role.lower() not in spelled), None):
        raise UnknownNameError("role of Airflow", unknown, known)
    wanted = {spelled[role.lower()]: role for role in roles}
    having = {user: tuple(wanted[role] for role in own if role in wanted) for user, own in users.items()}
    return {user: own for user, own in having.items() if own}


def _of_simple() -> tuple[dict[str, list[str]], list[str]]:
    """Return the configured users with their one role each, and all roles."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager, SimpleAuthManagerRole

    if conf.getboolean("core", "simple_auth_manager_all_admins", fallback=False):
        raise ConfigurationError(
            "[core] simple_auth_manager_all_admins lets everybody in as an administrator: roles tell nobody apart"
        )
    users = {user.username: [str(user.role).lower()] for user in SimpleAuthManager.get_users()}
    return users, [role.value[0].lower() for role in SimpleAuthManagerRole]


def _of_fab() -> tuple[dict[str, list[str]], list[str]]:
    """Return the active users with their roles, and all roles, by the API of Airflow's FAB provider."""
    try:
        account = Connection.get(CONNECTION)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"define the connection {CONNECTION}: host, login and password of a user who may read users and roles"
        ) from None
    scheme = account.schema or ("https" if account.port == 443 else "http")
    host = account.host or conf.get("api", "base_url", fallback="http://localhost:8080")
    url = (host if "://" in host else f"{scheme}://{host}:{account.port or 8080}").rstrip("/")
    try:
        with httpx.Client(base_url=url, timeout=SECONDS, follow_redirects=False) as client:
            given = {"username": account.login or "", "password": account.password or ""}
            token = _answer(client.post("/auth/token", json=given))["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            users = {
                str(user["username"]): [str(role["name"]) for role in user.get("roles") or ()]
                for user in _pages(client, "users")
                if user.get("active") is not False
            }
            return users, [str(role["name"]) for role in _pages(client, "roles")]
    except httpx.HTTPError as error:
        raise BackendError(f"{url} does not say who has which role: {error}") from None
    except (KeyError, TypeError, ValueError):
        raise BackendError(f"{url} does not say who has which role: its answer is not the FAB auth manager's") from None


def _pages(client: httpx.Client, what: str) -> Iterator[dict[str, Any]]:
    """Yield all users, or roles."""
    seen, total = 0, 1
    while seen < total:
        page = _answer(client.get(f"/auth/fab/v1/{what}", params={"limit": 100, "offset": seen}))
        total, found = int(page["total_entries"]), page[what]
        if not found:
            return
        yield from found
        seen += len(found)


def _answer(answer: httpx.Response) -> Any:
    if answer.status_code in {401, 403}:
        raise ConfigurationError(
            f"{answer.url.host} answers {answer.request.url.path} with status {answer.status_code}: the account of the "
            f"connection {CONNECTION} has to be let read users and roles"
        )
    answer.raise_for_status()
    return answer.json()
