"""The client that asks a model server for its state."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_mlops_provider.backends.model_server import client
from airflow_mlops_provider.backends.model_server.state import ServerState

TOKEN = "sesame"


def test_a_stranger_at_the_port_never_sees_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking who listens at an address tells nothing of ours."""
    seen: list[Any] = []

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setenv(client.TOKEN_VARIABLE, TOKEN)
    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        assert "status 200" in str(client.describe_listener(f"http://127.0.0.1:{stranger.server_port}"))
        stranger.shutdown()
    assert seen
    assert TOKEN not in str(seen)


STATE = ServerState(
    product="p", root="r", pid=7, started=datetime(2020, 1, 1, tzinfo=UTC), live=None, desired=None, failure=None,
    not_ready="no model", watermark=None, prediction_log="l",
)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "state", "words"),
    [
        (STATE.to_file(), STATE, str(STATE)),
        (json.dumps({**STATE.to_json(), "newer": 1}).encode(), STATE, str(STATE)),
        (b'{"live": 1}', None, "an HTTP server (unnamed) with status 200"),
        (b"<html>", None, "an HTTP server (unnamed) with status 200"),
    ],
)
def test_only_a_model_server_has_a_state(
    monkeypatch: pytest.MonkeyPatch, body: bytes, state: ServerState | None, words: str
) -> None:
    """Fields of a newer server are left out; whatever else answers is no model server, and no error."""
    monkeypatch.setattr(client, "_get", lambda *_: (200, None, body))
    assert client.server_state("http://x") == state
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert client.describe_listener(f"http://127.0.0.1:{listening.getsockname()[1]}") == words
