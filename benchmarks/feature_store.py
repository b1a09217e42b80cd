"""Features looked up online, over HTTP and in the process, against Feast's own server and its own call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from airflow_mlops_provider.serving.protocols.features import PATH
from benchmarks import Result
from benchmarks._processes import DAGS, environment, free_port, python, redis, start
from benchmarks.serving.load import WARM

TURNS = int(os.environ.get("BENCHMARK_TURNS", "5"))
SECONDS = float(os.environ.get("BENCHMARK_SECONDS", "2"))
CLIENTS = (1, 8)
CALLS = {1: 300, 100: 60}  # keys a call: calls in a turn, in the process
#: How many times as many calls as Feast's own server this one must answer at least, by keys a call and clients.
LEAST = {(1, 1): 2.0, (1, 8): 6.0, (100, 1): 12.0, (100, 8): 25.0}
Pair = tuple[float, float]
_LASTING = ("--max-requests", "1000000")  # after which its worker would break connections off

# A month of real flights to SQLite by the jobs themselves, the same offline rows to Redis, a repository of each for
# Feast's own server, and keys of the month to ask for.
_PREPARE = """
import json, shutil, sys
from pathlib import Path

dags, folder, port, count = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
sys.path.insert(0, dags)
import numpy as np
import pyarrow.parquet as pq
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, leading_to
from flight_delay import replay
from flight_delay.product import product

root, landing, month = str(folder / "artifacts"), folder / "landing", replay.month("2013-01")
services = Services(landing=str(landing), mlflow=f"sqlite:///{folder}/mlflow.db")


def job(name, **inputs):
    manifest = runner.run(JobSpec(job=name, product=product.name, interval=month, inputs=inputs, root=root,
                                  services=services, **find_job(name).parts_of(product, {})))
    assert manifest.state == "success", manifest.failure
    return manifest.result


replay.deliver(landing, month)
job("clean", raw=job("extract"))
job("load", features=job("compute", clean=leading_to(current(open_store(root), product.name, "clean"), month, 2)))
stores = {"SQLite": (Path(root) / product.name / "feast", {"type": "sqlite"})}
if port != "0":
    stores["Redis"] = (folder / "redis", {"type": "redis", "connection_string": f"127.0.0.1:{port}"})
    shutil.copytree(stores["SQLite"][0] / "offline", folder / "redis" / "offline")
    store = FeatureStoreBackend(product.shape, *stores["Redis"])
    store.apply()
    store.materialize(month)
for name, (at, online) in stores.items():
    (folder / name).mkdir()
    settings = {"project": product.name, "provider": "local", "registry": str(at / "registry.db"),
                "entity_key_serialization_version": 3,
                "online_store": {"path": str(at / "online.db"), **online} if name == "SQLite" else online}
    (folder / name / "feature_store.yaml").write_text(json.dumps(settings))
draw, keys = np.random.default_rng(7), {}
for view in product.shape.views:
    rows = pq.read_table(stores["SQLite"][0] / "offline" / view.name)
    keys |= {key: draw.choice(rows.column(key).unique().to_pylist(), count).tolist() for key in view.keys}
features = [f"{view.name}:{name}" for view in product.shape.views for name in view.features]
(folder / "requested.json").write_text(json.dumps({
    "keys": keys, "features": features, "stores": {name: [str(at), online] for name, (at, online) in stores.items()}}))
"""
_IN_PROCESS = """
import json, sys, time

sys.path.insert(0, sys.argv[1])
from pathlib import Path
from statistics import median
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from flight_delay.product import product

requested, turns = json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3])
calls = {int(size): count for size, count in json.loads(sys.argv[4]).items()}
for name, (at, online) in requested["stores"].items():
    store = FeatureStoreBackend(product.shape, Path(at), online)
    theirs = store._open_store()
    for size, count in calls.items():
        parts = [{key: values[at:at + size] for key, values in requested["keys"].items()}
                 for at in range(0, len(requested["keys"]["origin"]) - size, size)]
        rows = [[dict(zip(part, row, strict=True)) for row in zip(*part.values(), strict=True)] for part in parts]
        ways = {"ours": lambda at: store.online_columns(parts[at % len(parts)]),
                "Feast": lambda at: theirs.get_online_features(requested["features"], rows[at % len(rows)])}
        taken = {way: [] for way in ways}
        for turn in range(turns):
            for way, call in ways.items():
                for at in range(turn * count, turn * count + max(3, count // 3)):
                    began = time.perf_counter()
                    call(at)
                    taken[way].append(1000 * (time.perf_counter() - began))
        print(json.dumps([name, size, median(taken["ours"]), median(taken["Feast"])]))
"""


def measure() -> Result:
    """Return medians of ours and Feast's own, turn and turn about, and how many times as much ours is."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, redis() as port:
        folder = Path(name)
        python(_PREPARE, str(DAGS), str(folder), str(port or 0), "6000")
        requested = json.loads((folder / "requested.json").read_text())
        served = {(store, *shape): turns for store, shape, turns in _over_http(folder, requested)}
        lines = python(_IN_PROCESS, str(DAGS), str(folder / "requested.json"), str(TURNS), json.dumps(CALLS))
    rows, violations = [], []
    for (store, size, clients), turns in served.items():
        own, theirs = zip(*turns, strict=True)
        (ours, ours_worked), (feasts, feasts_worked) = [map(median, zip(*who, strict=True)) for who in (own, theirs)]
        ratio = median(this[0] / other[0] for this, other in turns)
        what = _named(store, size, f"{clients} client{'s' * (clients > 1)}")
        rows.append((f"{what}, calls a second", f"{ours:,.0f}", f"{feasts:,.0f}", f"{ratio:.1f}"))
        worked = feasts_worked / ours_worked if ours_worked else 0.0
        rows.append((f"{what}, ms of processor time", f"{ours_worked:.2f}", f"{feasts_worked:.2f}", f"{worked:.1f}"))
        if ratio < (least := LEAST[size, clients]):
            violations.append(f"{what}: {ratio:.1f} times as many calls as `feast serve`, not {least:.0f}")
    for store, size, own, theirs in map(json.loads, lines.splitlines()):
        what = _named(store, size, "in the process, ms")
        rows.append((what, f"{own:.2f}", f"{theirs:.2f}", f"{theirs / own:.1f}"))
    return Result(
        title="A look-up of online features",
        columns=("", "ours", "Feast's own", "ratio"),
        rows=tuple(rows),
        violations=tuple(violations),
        note=f"Medians of {TURNS} turns of {SECONDS:g} s, turn and turn about: `POST /features` of the model server, "
        "and `feast serve`, one process each; 23 features in five views of real flights.",
    )


def _named(store: str, size: int, how: str) -> str:
    return f"{store}, {'1 key' if size == 1 else f'{size} keys'}, {how}"


def _over_http(folder: Path, requested: dict[str, Any]) -> Iterator[tuple[str, tuple[int, int], list[list[Pair]]]]:
    """Yield store, keys and clients, and of each turn ours and Feast's own: calls a second, and processor time."""
    for name, (at, online) in requested["stores"].items():
        with ExitStack() as running:
            port, feasts = free_port(), free_port()
            own = [sys.executable, "-m", "airflow_mlops_provider.serving", "--product", "flight_delay", "--root"]
            store = ["--feature-store", at, "--online-store", json.dumps(online), "--port", str(port)]
            feast = [str(Path(sys.executable).with_name("feast")), "-c", str(folder / name), "serve"]
            servers = [
                start(running, [*own, str(folder / "artifacts"), *store], port),
                start(running, [*feast, "--port", str(feasts), "--no-access-log", *_LASTING], feasts),
            ]
            for size in CALLS:
                ours, theirs = [], []
                for first in range(0, len(requested["keys"]["origin"]) - size, size):
                    part = {key: values[first : first + size] for key, values in requested["keys"].items()}
                    ours.append(
                        json.dumps(
                            {"rows": [dict(zip(part, row, strict=True)) for row in zip(*part.values(), strict=True)]}
                        )
                    )
                    theirs.append(json.dumps({"features": requested["features"], "entities": part}))
                _await_answer(port, ours[0])
                ways = ((port, PATH, ours), (feasts, "/get-online-features", theirs))
                for clients in CLIENTS:
                    turns = [
                        [_turn(*way, clients, server) for way, server in zip(ways, servers, strict=True)]
                        for _ in range(TURNS)
                    ]
                    yield name, (size, clients), turns


def _await_answer(port: int, body: str) -> None:
    """Wait until the model server has opened the feature store."""
    until = time.monotonic() + 120
    while (answer := httpx.post(f"http://127.0.0.1:{port}{PATH}", content=body, timeout=30)).status_code != 200:
        if time.monotonic() > until:
            raise RuntimeError(f"{PATH}: {answer.text[:500]}")
        time.sleep(0.2)


def _turn(port: int, path: str, bodies: list[str], clients: int, pid: int) -> Pair:
    """Return calls a second, and the server's milliseconds of processor time for each."""
    given = {"port": port, "path": path, "bodies": bodies, "clients": clients, "seconds": SECONDS}
    command, began = [sys.executable, "-m", "benchmarks.serving.load"], _processor_time(pid)
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, check=False, env=environment()
    )
    if done.returncode:
        raise RuntimeError(f"{path}: {done.stderr[-1000:]}")
    rate = json.loads(done.stdout)["rate"]
    return rate, 1000 * (_processor_time(pid) - began) / (rate * (SECONDS + WARM))


def _processor_time(pid: int) -> float:
    server = psutil.Process(pid)
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(spent.user + spent.system for spent in times)
