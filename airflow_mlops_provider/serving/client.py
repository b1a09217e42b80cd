"""Asking a model server about itself, without a library and without going through a proxy."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit


def ask(base_url: str, path: str, timeout: float = 5.0) -> dict[str, Any] | None:
    """Return a JSON answer; None if nothing answers, or no JSON object."""
    try:
        _, _, body = _get(base_url, path, timeout)
        answer = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError):
        return None
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
    state = ask(base_url, "/version", timeout)
    if state and "product" in state:
        return described(state)
    try:
        status, server, _ = _get(base_url, "/", timeout)
    except (OSError, http.client.HTTPException):
        return "something that does not speak HTTP"
    return f"an HTTP server ({server or 'unnamed'}) with status {status}"


def _get(base_url: str, path: str, timeout: float) -> tuple[int, str | None, bytes]:
    place = urlsplit(base_url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.hostname or "", place.port, timeout=timeout)
    try:
        connection.request("GET", f"{place.path.rstrip('/')}{path}")
        answer = connection.getresponse()
        return answer.status, answer.getheader("server"), answer.read(1_000_000)
    finally:
        connection.close()
