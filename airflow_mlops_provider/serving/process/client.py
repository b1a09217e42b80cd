"""Asking a model server about itself, without a library and without going through a proxy."""

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from airflow_mlops_provider.exceptions import DeploymentError

TOKEN_VARIABLE = "MLOPS_SERVING_TOKEN"  # noqa: S105 - the variable's name, not a token


def ask(base_url: str, path: str, timeout: float = 5.0) -> dict[str, Any] | None:
    """Return a JSON answer; None if nothing answers, or no JSON object. Sends the token in ``MLOPS_SERVING_TOKEN``.

    :raises DeploymentError: if the server asks for another token.
    """
    try:
        status, _, body = _get(base_url, path, timeout, os.environ.get(TOKEN_VARIABLE, ""))
        answer = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    if status == HTTPStatus.UNAUTHORIZED:
        raise DeploymentError(
            f"{base_url} asks for another token; the password of the connection mlops_model_server must be what the "
            f"server has in {TOKEN_VARIABLE}"
        )
    return answer if isinstance(answer, dict) else None


def described(state: dict[str, Any]) -> str:
    """Return in a few words which model server a /version answer comes from."""
    return (
        f"the model server of product {state['product']!r} with root {state.get('root')} (process {state.get('pid')})"
    )


def what_answers(base_url: str, timeout: float = 3.0) -> str | None:
    """Return in a few words what listens at an address; None if nothing does."""
    place = urlsplit(base_url)
    try:
        socket.create_connection((place.hostname or "", place.port or 80), timeout).close()
    except OSError:
        return None
    try:
        # Without the token: whoever listens there is not known yet.
        status, server, body = _get(base_url, "/version", timeout)
    except (OSError, http.client.HTTPException):
        return "something that does not speak HTTP"
    with suppress(ValueError, KeyError, TypeError):
        return described(json.loads(body))
    return f"an HTTP server ({server or 'unnamed'}) with status {status}"


def _get(base_url: str, path: str, timeout: float, token: str = "") -> tuple[int, str | None, bytes]:
    place = urlsplit(base_url)
    headers = {"authorization": f"Bearer {token}".encode()} if token else {}
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.hostname or "", place.port, timeout=timeout)
    try:
        connection.request("GET", f"{place.path.rstrip('/')}{path}", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("server"), answer.read(1_000_000)
    finally:
        connection.close()
