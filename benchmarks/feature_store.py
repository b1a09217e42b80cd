"""Features looked up online, over HTTP and in the process, against Feast's own server and its own call."""

from __future__ import annotations

import json
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks import Result
from benchmarks._processes import DAGS, free_port, python, redis, start

TURNS = 5
CALLS = {1: 300, 100: 60}  # keys a call: calls in a turn
#: How many times as long Feast's own server must take at least, by keys a call.
LEAST = {1: 3.0, 100: 12.0}
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
# The look-up behind as little of a web server as there is; Feast's own is uvicorn, too.
_SERVE = """
import json, sys

sys.path.insert(0, sys.argv[1])
import msgspec
import uvicorn
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from flight_delay.product import product
from pathlib import Path

store = FeatureStoreBackend(product.shape, Path(sys.argv[2]), json.loads(sys.argv[3]))
decode, encode = msgspec.json.Decoder(dict[str, list[str]]).decode, msgspec.json.Encoder().encode
HEADERS = [(b"content-type", b"application/json")]


async def app(scope, receive, send):
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message.get("more_body"):
            break
    columns = store.online_columns(decode(body)) if body else {}
    answer = encode({name: values.tolist() for name, values in columns.items()})  # NaN becomes null
    headers = [*HEADERS, (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[4]), access_log=False, log_level="warning", lifespan="off")
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
        rows = [[dict(zip(part, row)) for row in zip(*part.values())] for part in parts]
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
    """Return medians of ours and Feast's own, turn and turn about, and how many times as long Feast's takes."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, redis() as port:
        folder = Path(name)
        python(_PREPARE, str(DAGS), str(folder), str(port or 0), "6000")
        requested = json.loads((folder / "requested.json").read_text())
        served = [*_over_http(folder, requested)]
        lines = python(
            _IN_PROCESS, str(DAGS), str(folder / "requested.json"), str(TURNS), json.dumps(CALLS)
        ).splitlines()
    rows, violations = [], []
    for store, size, *medians in served:
        for how, (ours, feasts) in zip(("over HTTP", "over HTTP, processor time"), medians, strict=True):
            rows.append(_row(how, store, size, ours, feasts))
        ratio = medians[0][1] / medians[0][0]
        if ratio < LEAST[size]:
            violations.append(f"{rows[-2][0]}: {ratio:.1f} times as fast as `feast serve`, not {LEAST[size]:.0f}")
    return Result(
        title="A look-up of online features",
        columns=("", "ours, ms", "Feast's own, ms", "ratio"),
        rows=(*rows, *(_row("in the process", *json.loads(line)) for line in lines)),
        violations=tuple(violations),
        note=f"Medians of {TURNS} turns, turn and turn about: one client's calls one after the other, to `feast serve` "
        "and to the look-up behind an ASGI application, both on uvicorn with one worker; 23 features in five views of "
        "real flights. Processor time is the server's own.",
    )


def _row(how: str, store: str, size: int, ours: float, feasts: float) -> tuple[str, ...]:
    keys = "1 key" if size == 1 else f"{size} keys"
    return f"{store}, {keys}, {how}", f"{ours:.2f}", f"{feasts:.2f}", f"{feasts / ours:.1f}" if ours else ""


def _over_http(folder: Path, requested: dict[str, Any]) -> Iterator[tuple[str, int, Pair, Pair]]:
    """Yield store, keys a call, and of ours and Feast's own: milliseconds a call, and of processor time."""
    for name, (at, online) in requested["stores"].items():
        with ExitStack() as running:
            port, feasts = free_port(), free_port()
            feast = [str(Path(sys.executable).with_name("feast")), "-c", str(folder / name), "serve"]
            servers = [
                start(running, [sys.executable, "-c", _SERVE, str(DAGS), at, json.dumps(online), str(port)], port),
                start(running, [*feast, "--port", str(feasts), "--no-access-log", *_LASTING], feasts),
            ]
            for size, count in CALLS.items():
                parts = [
                    {key: values[at : at + size] for key, values in requested["keys"].items()}
                    for at in range(0, len(requested["keys"]["origin"]) - size, size)
                ]
                whole = [{"features": requested["features"], "entities": part} for part in parts]
                ways = ((port, "/", parts), (feasts, "/get-online-features", whole))
                taken, worked = ([], []), ([], [])
                for turn in range(TURNS + 1):
                    for way, server, times, works in zip(ways, servers, taken, worked, strict=True):
                        began = _processor_time(server)
                        measured = _times(*way, first=turn * count, count=count)
                        if turn:  # the first one warms both up
                            times.extend(measured)
                            works.append(1000 * (_processor_time(server) - began) / count)
                yield name, size, _medians(taken), _medians(worked)


def _medians(values: tuple[list[float], list[float]]) -> Pair:
    return median(values[0]), median(values[1])


def _processor_time(pid: int) -> float:
    server = psutil.Process(pid)
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(spent.user + spent.system for spent in times)


def _times(port: int, path: str, bodies: list[Any], first: int, count: int) -> list[float]:
    """Return the milliseconds of calls, one after the other over one connection."""
    times = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(first, first + count):
            body = json.dumps(bodies[at % len(bodies)]).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            began = time.perf_counter()
            connection.sendall(head.encode() + b"\r\n\r\n" + body)
            answer = _answer(connection)
            times.append(1000 * (time.perf_counter() - began))
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{path}: {answer[:500]!r}")
    return times


def _answer(connection: socket.socket) -> bytes:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1 << 20) or b"\r\n\r\n"
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    left = int(length[1]) - len(body) if length else 0
    while left > 0:
        left -= len(connection.recv(1 << 20)) or left
    return head
