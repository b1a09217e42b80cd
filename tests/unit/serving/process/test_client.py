"""The client that asks a model server for its state."""

from __future__ import annotations

import http.server
import threading
from typing import Any

import pytest

from airflow_mlops_provider.serving.process import client

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
