"""The one way in which services without a library of their own are spoken to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

SECONDS = 10


def client(url: str, credentials: tuple[str, str] | None, token: str | None, seconds: float = SECONDS) -> httpx.Client:
    """Return a client of a service. It goes where it is sent, but takes its credentials to no other host.

    :param url: the service's root; requests name paths below it.
    :param credentials: user name and password.
    :param token: sent as ``Bearer`` where there is no user name.
    """
    import httpx

    headers = {"Authorization": f"Bearer {token}"} if token and not credentials else {}
    return httpx.Client(base_url=url, auth=credentials, headers=headers, timeout=seconds, follow_redirects=True)
