"""Asks a model server for its state, without a library and without going through a proxy."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import time
from contextlib import closing, suppress
from datetime import datetime
from http import HTTPStatus
from typing import TypeGuard
from urllib.parse import urlsplit

from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.lifecycle.serving.target import TOKEN_VARIABLE as TOKEN_VARIABLE  # noqa: PLC0414

TIMEOUT = 5.0


def url_of(host: str, port: int) -> str:
    """Return the base URL of a server at an address."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def server_state(base_url: str, token: str | None = None) -> ServerState | None:
    """Return what a model server says of itself, None if none answers.

    :raises DeploymentError: for a token that may not read it, or a certificate that is not trusted.

    :param token: by default that of the environment.
    """
    try:
        status, _, body = _get(base_url, os.environ.get(TOKEN_VARIABLE, "") if token is None else token)
        answer = json.loads(body)
    except ssl.SSLCertVerificationError as error:
        raise DeploymentError(
            f"{base_url} shows a certificate that is not trusted: {error.verify_message}; put its authority's into the "
            "file that SSL_CERT_FILE names"
        ) from None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise DeploymentError(
            f"{base_url} wants another token; the password of the connection mlops_model_server must be what the "
            f"server has in {TOKEN_VARIABLE}, or that of a caller with the right to read"
        )
    with suppress(ValueError):
        return ServerState.model_validate(answer, extra="ignore")
    return None


def wait_for_version(
    base_url: str, version: int, timeout: float = 120.0, requested_at: datetime | None = None
) -> ServerState:
    """Return the server's state once it predicts with a version.

    :param requested_at: the release's; an earlier failure of the same version is then not taken for this one's.
    :raises DeploymentError: if the server says that it cannot load the version, or has not within ``timeout`` seconds.
    """
    deadline, state = time.monotonic() + timeout, None
    while time.monotonic() < deadline:
        state = server_state(base_url)
        if predicts_with(state, base_url, version, requested_at):
            return state
        time.sleep(0.2)
    raise DeploymentError(f"{base_url} did not serve version {version} within {timeout:g} s; {what_serves(state)}")


def predicts_with(
    state: ServerState | None, base_url: str, version: int, requested_at: datetime | None = None
) -> TypeGuard[ServerState]:
    """Say whether a server predicts with a version by now. :raises DeploymentError: if it says that it cannot."""
    # Live alone is not enough: a server that has just started may still be opening its feature store.
    if state and state.version == version and not state.not_ready:
        return True
    failure = state.failure if state else None
    earlier = failure and requested_at and failure.requested_at and failure.requested_at < requested_at
    if failure and failure.version == version and not earlier:
        raise DeploymentError(f"{base_url} could not load version {version}: {failure.error}")
    return False


def what_serves(state: ServerState | None) -> str:
    """Return in words what a server does that does not do what it should."""
    problem = state and (state.failure.error if state.failure else state.not_ready)
    reports = f"; it reports: {problem}" if problem else ""
    return f"it serves {state.version if state else 'nothing that answers'}{reports}"


def describe_listener(base_url: str) -> str | None:
    """Return in a few words what listens at an address; None if nothing does."""
    url = urlsplit(base_url)
    try:
        socket.create_connection((url.hostname or "", url.port or 80), TIMEOUT).close()
    except OSError:
        return None
    try:
        # Without the token: it is not known yet who listens there.
        status, server, body = _get(base_url)
    except (OSError, http.client.HTTPException):
        return "something that does not speak HTTP"
    with suppress(ValueError):
        return str(ServerState.from_file(body))
    return f"an HTTP server ({server or 'unnamed'}) with status {status}"


def _get(base_url: str, token: str = "") -> tuple[int, str | None, bytes]:
    """Return the status, the ``Server`` header and the body that ``/version`` answers."""
    url = urlsplit(base_url)
    headers = {"authorization": f"Bearer {token}".encode()} if token else {}
    connection_type = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    with closing(connection_type(url.hostname or "", url.port, timeout=TIMEOUT)) as connection:
        connection.request("GET", f"{url.path.rstrip('/')}/version", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("server"), answer.read(1_000_000)
