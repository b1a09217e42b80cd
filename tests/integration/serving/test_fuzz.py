"""Schemathesis against a running model server, by the description that the server gives of itself: no 5xx, no hang.

A short run is part of every run; ``MLOPS_TEST_FUZZ`` makes it a long one, of so many seconds, with Feast's own store.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.serving import listener
from airflow_mlops_provider.serving.access.callers import Right, new_token
from airflow_mlops_provider.serving.app import create_app
from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.serving import StandInFeatures, make_release, make_rows, request_release
from tests.integration.serving.test_model_server import World

pytest.importorskip("schemathesis", reason="needs the dev extra: pip install -e '.[dev]'")
LONG = int(os.environ.get("MLOPS_TEST_FUZZ", "0"))
TOKEN = "sesame"
#: How Schemathesis writes bodies of kinds that it does not know: as they are.
HOOKS = """
import schemathesis


@schemathesis.serializer("application/x-ndjson", "application/vnd.apache.arrow.stream")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
"""


class AnyKey(StandInFeatures):
    """Features of whatever customer somebody thinks of."""

    def online(self, keys: pd.DataFrame) -> pd.DataFrame:
        numbers = keys["customer"].map(lambda key: float(len(key)) if key else np.nan).astype("float64")
        return pd.DataFrame({"orders": numbers, "mean_price": numbers / 7})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server that predicts, listens as in production, and knows two tokens: its URL, and that of who may read."""
    folder = tmp_path_factory.mktemp("fuzzed")
    world = World(folder)
    product, root = world.product, world.root
    if LONG:
        world.fill()
    request_release(root, make_release(root, 1))
    reader, line = new_token("reader", [Right.READ])
    (folder / "callers").write_text(line)
    served = ModelServer(product, str(root), lambda: world.store if LONG else AnyKey(), folder / "log", poll=0.1)
    app = create_app(served, token=TOKEN, callers_file=folder / "callers")
    with listener.bind_socket("127.0.0.1", 0) as listening:
        running = listener.Server(listener.uvicorn_config(app, "127.0.0.1", 0))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        until_ready(url, running)
        yield url, reader
        running.should_exit = True
        thread.join(30)


def until_ready(url: str, running: listener.Server) -> None:
    end = time.monotonic() + 60
    while not running.started or httpx.get(f"{url}/ready", trust_env=False).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("who", ["with the token", "without", *["as a reader"] * bool(LONG)])
def test_no_call_breaks_or_hangs_the_server(server: tuple[str, str], who: str, tmp_path: Path) -> None:
    """Whatever its description allows, and much that it doesn't: each call is answered, in time, and by no 5xx."""
    url, reader = server
    token = {"with the token": TOKEN, "as a reader": reader, "without": ""}[who]
    description = tmp_path / "openapi.json"  # which those without a token are not given
    description.write_bytes(httpx.get(f"{url}/openapi.json", headers=bearer(TOKEN), trust_env=False).content)
    (tmp_path / "hooks.py").write_text(HOOKS)
    checks = "not_a_server_error,response_schema_conformance,content_type_conformance,status_code_conformance"
    options = ["--url", url, "--checks", checks, "--request-timeout", "10", "--max-response-time", "10"]
    effort = ["--max-time", str(LONG)] if LONG else ["--max-examples", "10"]
    sent = [word for name, value in bearer(token).items() for word in ("--header", f"{name}: {value}")]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", str(description), *options, *effort, *sent, "--seed", "1"],
        cwd=tmp_path, env={**os.environ, "NO_PROXY": "127.0.0.1", "SCHEMATHESIS_HOOKS": "hooks"},
        capture_output=True, text=True, check=False, timeout=LONG + 120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    answer = httpx.post(f"{url}/predict", json={"rows": make_rows(1)}, headers=bearer(TOKEN), trust_env=False)
    assert answer.status_code == 200


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}
