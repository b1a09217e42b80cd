"""The model server as its own process, with real LightGBM models and a real Feast online store."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.backends.model_server import client, launcher
from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.sensors.serving import ModelServerReadySensor
from tests.factories.ports import free_port
from tests.factories.serving import NAME, WATERMARK, make_product, make_release, make_rows, read_log, request_release
from tests.factories.waiting import context, fired, waits

DAY = Interval(start=datetime(2020, 1, 1, tzinfo=UTC), end=WATERMARK)
REPOSITORY = Path(__file__).parents[3]


class World:
    """One artifact root with a product, its features and a running server."""

    def __init__(self, folder: Path) -> None:
        self.code, self.root = folder / "code", folder / "root"
        self.product: MLProduct = make_product(self.code)
        self.log = self.root / NAME / "predictions" / "rest"
        self.port = free_port()
        self.env = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{self.code}"}
        self.store = FeatureStoreBackend(self.product.shape, self.root / NAME / "feast")
        self.url = ""

    def fill(self) -> None:
        """Bring one day's features of forty customers online."""
        times = [datetime(2020, 1, 1, hour % 24, tzinfo=UTC) for hour in range(40)]
        rng = np.random.default_rng(5)
        rows = pd.DataFrame({"customer": [f"c{n}" for n in range(40)], "event_time": times})
        rows = rows.assign(orders=range(40), mean_price=rng.normal(size=40))
        rows.to_parquet(self.root.parent / "rows.parquet")
        self.store.apply()
        self.store.offline.load(DAY, {"customer": self.root.parent / "rows.parquet"})
        self.store.materialize(DAY)

    def start(self, code: str = "") -> str:
        """Start the server, or find it running."""
        log = self.root.parent / "server.log"
        self.url = launcher.ensure_running(NAME, str(self.root), "127.0.0.1", self.port, log, self.env, code=code)
        return self.url

    def predict(self, rows: list[dict[str, Any]]) -> httpx.Response:
        """Ask for predictions."""
        return httpx.post(f"{self.url}/predict", json={"rows": rows}, timeout=30, trust_env=False)

    def roll(self, version: int, release: Release | None = None) -> None:
        """Request a version and wait until it is live."""
        requested = request_release(self.root, release or make_release(self.root, version))
        client.wait_for_version(self.url, version, 60, requested.requested_at)

    def pid(self) -> int:
        """Return the process of the server that answers."""
        state = client.server_state(self.url)
        assert state is not None
        return state.pid

    def ready(self) -> None:
        """Wait until the server can predict."""
        end = time.monotonic() + 90
        while httpx.get(f"{self.url}/ready", trust_env=False).status_code != 200:
            assert time.monotonic() < end, httpx.get(f"{self.url}/ready", trust_env=False).text
            time.sleep(0.1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    world.fill()
    world.start()
    yield world
    launcher.stop(NAME, str(world.root))


@pytest.fixture
def serving(world: World) -> World:
    """The world, serving version 1."""
    world.start()
    world.roll(1)
    world.ready()
    return world


def test_rest_and_batch_give_the_same_bits(serving: World) -> None:
    """A thousand rows get the same float64 over REST, from the online store, as in batch, from the offline store."""
    rows = make_rows(1000)
    answer = serving.predict(rows)
    assert answer.status_code == 200, answer.text
    given = [one["probability"] for one in answer.json()["predictions"]]
    folder = serving.root / NAME / "train" / "model-1"
    predictor = Predictor.load(serving.product.scoring, folder, make_release(serving.root, 1).model)
    batch = pd.DataFrame(rows).assign(event_time=lambda frame: pd.to_datetime(frame["event_time"], utc=True))
    assert predictor.predict(batch, serving.store.historical(batch)).tolist() == given
    assert len(set(given)) > 200
    told = httpx.get(f"{serving.url}/metrics", trust_env=False).text
    assert 'mlops_serving_rows_total{product="tiny_shop"} 1000.0' in told
    assert 'mlops_serving_ready{product="tiny_shop"} 1.0' in told
    assert serving.predict(rows[3:4]).json()["predictions"][0]["probability"] == given[3]


def test_roll_under_load_fails_no_request(serving: World) -> None:
    """While callers keep asking, the server rolls to version 2 and back: every call succeeds, each by one version."""
    rows, ending = make_rows(20), threading.Event()
    first = [one["probability"] for one in serving.predict(rows).json()["predictions"]]
    seen: list[tuple[int, int | None, list[float]]] = []

    def call(_: int) -> None:
        with httpx.Client(base_url=serving.url, trust_env=False, timeout=30) as client:
            while not ending.is_set():
                answer = client.post("/predict", json={"rows": rows})
                body = answer.json()
                seen.append((answer.status_code, body.get("version"), [p["probability"] for p in body["predictions"]]))

    with ThreadPoolExecutor(4) as pool:
        calls = pool.map(call, range(4))
        try:
            for version in (2, 1):
                serving.roll(version)
                until, rolled = time.monotonic() + 60, len(seen)
                while version not in {one[1] for one in seen[rolled:]} and time.monotonic() < until:
                    time.sleep(0.05)
        finally:
            ending.set()
        assert not any(calls)
    second = next(values for _, version, values in seen if version == 2)
    assert {status for status, _, _ in seen} == {200}
    assert second != first
    assert all(values == {1: first, 2: second}[version or 0] for _, version, values in seen)


def test_corrupt_version_leaves_the_old_one(serving: World) -> None:
    """A version whose file was changed is refused with the server's reason; version 1 goes on."""
    bad = make_release(serving.root, 9)
    with (serving.root / NAME / "train/model-9/model.lgb").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DeploymentError, match=r"could not load version 9.*changed or are incomplete"):
        serving.roll(9, bad)
    assert serving.predict(make_rows(1)).json()["version"] == 1
    serving.roll(1)
    assert httpx.get(f"{serving.url}/version", trust_env=False).json()["failure"]["version"] == 9


def test_wrong_rows_get_a_message(serving: World) -> None:
    """A wrong row over the wire is a 422 that says what is known."""
    answer = serving.predict([{**make_rows(1)[0], "colour": "red"}])
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("row 0: unknown column 'colour'; known: customer")
    old = serving.predict([{**make_rows(1)[0], "event_time": "2019-12-31T00:00:00Z"}])
    assert old.status_code == 422 and "use batch prediction" in old.json()["detail"]


def test_predictions_survive_the_end(serving: World) -> None:
    """What was answered just before the server was told to end is in the log, whole."""
    rows = make_rows(3000, seed=3)
    answer = httpx.post(
        f"{serving.url}/predict", json={"rows": rows}, headers={"x-request-id": "last"}, timeout=30, trust_env=False
    )
    assert launcher.stop(NAME, str(serving.root))
    logged = read_log(serving.log).query("request_id == 'last'")
    assert logged["prediction"].tolist() == [one["probability"] for one in answer.json()["predictions"]]
    assert not launcher.stop(NAME, str(serving.root))


def test_answers_survive_a_kill(serving: World) -> None:
    """Killed under load, in the middle of whatever it does: each prediction that a caller has is in the log."""
    answered: list[str] = []

    def call(_: int) -> None:
        with httpx.Client(base_url=serving.url, trust_env=False, timeout=30) as client_, suppress(httpx.HTTPError):
            while True:
                answer = client_.post("/predict", json={"rows": rows})
                answered.extend(one["id"] for one in answer.json()["predictions"])

    for rows in (make_rows(1), make_rows(300)):
        serving.start()
        serving.ready()
        before = len(answered)
        with ThreadPoolExecutor(4) as pool:
            calls = pool.map(call, range(4))
            while len(answered) < before + 40 * len(rows):
                time.sleep(0.01)
            psutil.Process(serving.pid()).kill()
            assert not any(calls)
        while client.describe_listener(serving.url):
            time.sleep(0.05)
    lines = [line for file in serving.log.glob("*.jsonl") for line in file.read_bytes().split(b"\n")[:-1]]
    assert {*answered} <= {json.loads(line)["id"] for line in lines}


def test_two_launchers_start_one_server(world: World) -> None:
    """Two processes that want the server at once get the same one."""
    launcher.stop(NAME, str(world.root))
    code = (
        "import sys; from pathlib import Path\n"
        "from airflow_mlops_provider.backends.model_server import client, launcher\n"
        f"log = Path({str(world.root / 'log')!r})\n"
        f"launcher.ensure_running({NAME!r}, {str(world.root)!r}, '127.0.0.1', {world.port}, log)\n"
        f"print(client.server_state('http://127.0.0.1:{world.port}').pid)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=world.env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    pids = {one.communicate(timeout=100)[0].strip() for one in both}
    assert len(pids) == 1 and psutil.pid_exists(int(pids.pop()))
    assert world.start() == f"http://127.0.0.1:{world.port}"


def test_changed_code_replaces_the_server(world: World) -> None:
    """The server of the same code is left alone; with other code another process takes over the address."""
    pids = [(world.start(code), world.pid())[1] for code in ("one", "one", "two")]
    assert pids[0] == pids[1] != pids[2]
    assert not psutil.pid_exists(pids[0]) or psutil.Process(pids[0]).status() == psutil.STATUS_ZOMBIE


def test_changed_code_fails_no_request(serving: World) -> None:
    """While callers keep asking, servers of other code take over: every call is answered, and one server is left."""
    rows, ending, seen = make_rows(2), threading.Event(), list[tuple[int, int]]()

    def call(number: int) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client_:
            while not ending.is_set():
                # One keeps its connection, the others come anew each time.
                post = client_.post if number == 0 else partial(httpx.post, trust_env=False, timeout=30)
                answer = post(f"{serving.url}/predict", json={"rows": rows})
                seen.append((answer.status_code, answer.json()["version"]))

    before = serving.pid()
    with ThreadPoolExecutor(6) as pool:
        calls = pool.map(call, range(6))
        try:
            for code in ("yet another", "and another", "a third"):
                serving.start(code)
        finally:
            ending.set()
        assert not any(calls)
    assert serving.pid() != before
    assert set(seen) == {(200, 1)}
    assert len(launcher.running(str(serving.root), NAME)) == 1


def test_new_code_that_cannot_predict_leaves_the_old_server(serving: World) -> None:
    """A server of broken code never listens: the launcher says why, and the old one goes on and is still known."""
    before = serving.pid()
    code = serving.code / NAME / "code.py"
    whole = code.read_text()
    for broken in ("def assemble(rows):\n    raise KeyError('colour')\n", "import nothing_of_that_name\n"):
        code.write_text(broken)
        try:
            with pytest.raises(DeploymentError, match=r"(?s)ended while starting.*(colour|nothing_of_that_name)"):
                serving.start("broken")
        finally:
            code.write_text(whole)
        assert serving.pid() == before
        assert serving.predict(make_rows(1)).status_code == 200
        assert [server.pid for server in launcher.running(str(serving.root), NAME)] == [before]


def test_a_killed_server_is_started_again(world: World) -> None:
    """A server that was killed, and whose parent did not reap it, does not stop a new start."""
    world.start()
    psutil.Process(world.pid()).kill()
    while client.describe_listener(world.url):  # its threads end one by one
        time.sleep(0.05)
    assert httpx.get(f"{world.start()}/health", trust_env=False).json() == {"status": "up", "product": NAME}


def test_taken_port_names_who_answers(world: World, tmp_path: Path) -> None:
    """A port that another server holds is refused, naming port and holder, whatever it speaks."""
    world.start()
    with pytest.raises(DeploymentError, match=rf"port {world.port} is taken.*model server of product 'tiny_shop'"):
        launcher.ensure_running(NAME, str(tmp_path), "127.0.0.1", world.port, tmp_path / "log", world.env)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        port = mute.getsockname()[1]
        with pytest.raises(DeploymentError, match="does not speak HTTP"):
            launcher.ensure_running(NAME, str(tmp_path), "127.0.0.1", port, tmp_path / "log", world.env)


def test_server_that_cannot_start_says_why(tmp_path: Path, world: World) -> None:
    """A product that nobody declared ends the start at once, with the end of the server's log."""
    with pytest.raises(DeploymentError, match="unknown product 'nobody'; known: tiny_shop"):
        launcher.ensure_running("nobody", str(tmp_path), "127.0.0.1", free_port(), tmp_path / "log", world.env)


def test_a_sensor_waits_until_a_version_serves(serving: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the product's own connection, deferred until the version is there; another product's server never is."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for product in (NAME, "other"):
        monkeypatch.setenv(f"AIRFLOW_CONN_MLOPS_MODEL_SERVER_{product.upper()}", f"http://127.0.0.1:{serving.port}")

    def sensor(product: str, version: int) -> ModelServerReadySensor:
        return ModelServerReadySensor(task_id="ready", product=product, version=version, deferrable=True)

    served = client.server_state(serving.url).version  # type: ignore[union-attr]  # it answers
    assert sensor(NAME, served).execute(context()) == {"product": NAME, "version": served, "url": serving.url}
    trigger = waits(sensor(NAME, served + 1), context())
    assert [event["version"] for event in fired(trigger, lambda: serving.roll(served + 1), lambda: None)] == [
        served + 1
    ]
    assert "not other" in waits(sensor("other", served), context()).look().text
