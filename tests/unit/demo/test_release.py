"""The callers of the demo: they call while there is a candidate, and count who answered."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from airflow_mlops_provider.demo.release import Callers, line
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status


class Server(BaseHTTPRequestHandler):
    """Answers rows by the version that they name; of version 0 it fails."""

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rows"]
        said = json.dumps({"version": rows[0]["by"]}).encode()
        self.send_response(200 if rows[0]["by"] else 500)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/predict"
    server.shutdown()


def test_calls_are_counted_by_who_answered(url: str) -> None:
    """As long as there is a candidate, one after another; failures are counted, too, and then it is over."""
    callers = Callers(url)
    callers.follow(2, lambda: [{"by": 1}, {"by": 1}, {"by": 2}, {"by": 0}])
    end = time.monotonic() + 30
    while sum(callers.counts.get(2, {}).values()) < 8:
        assert time.monotonic() < end
        time.sleep(0.01)
    callers.follow(None, list)
    counts = dict(callers.counts[2])
    assert {*counts} == {"v1", "v2", "failed"} and counts["v1"] >= 4
    time.sleep(0.1)
    assert dict(callers.counts[2]) == counts


def test_nobody_answers() -> None:
    """A server that is not there fails a call, and not the caller."""
    callers = Callers("http://127.0.0.1:9/predict")
    callers.follow(3, lambda: [{}])
    while not callers.counts.get(3):
        time.sleep(0.01)
    callers.follow(None, list)
    assert {*callers.counts[3]} == {"failed"}


def test_a_move_is_told_in_a_line() -> None:
    """With what was observed, and who made it."""
    entry = LedgerEntry(
        sequence=1,
        version=ModelVersion(uri="file:///m", hash="1" * 64, name="shop", version=2),
        status=Status.CANARY,
        was=Status.SHADOW,
        reason="120 calls as shadow, and no limit is broken",
        evidence={"observed": {"calls": 120, "p99_ms": 7.5}},
        by="shop_deployment/run/deployment.deploy",
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert (
        line(entry)
        == "  v2 canary: 120 calls as shadow, and no limit is broken (calls 120, p99_ms 7.5), by deployment.deploy"
    )
