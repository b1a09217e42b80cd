"""This model server with everything on, against other servers of the same booster and the least that answers, by turns.

With Redis where ``redis-server`` is on the path, with BentoML where ``BENCHMARK_BENTOML`` names an interpreter that has
it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import Result
from benchmarks._processes import DAGS, environment, free_port, python, redis
from benchmarks.serving.preparation import PREPARE, TO_REDIS

SHAPES = ((1, 8), (1, 32), (100, 8))  # rows a call, clients
TURNS = int(os.environ.get("BENCHMARK_TURNS", "5"))
SECONDS = float(os.environ.get("BENCHMARK_SECONDS", "3"))
ROWS = 10_000
#: By rows a call, what this server's calls a second, with features from SQLite, must be as a share of the other's.
LIMITS = {1: {"bare": 0.3, "mlflow": 15.0, "BentoML": 4.0}, 100: {"bare": 0.2, "mlflow": 2.5, "BentoML": 1.0}}
Turn = tuple[float, float, float]  # calls a second, the median time of one and its 99th percentile in ms


@dataclass(frozen=True)
class Server:
    """A server to send requests to. :param rows: what a row is to it. :param body: a call's body, of some rows."""

    name: str
    port: int
    path: str
    rows: list[Any]
    key: str
    more: dict[str, Any] = field(default_factory=dict)

    def bodies(self, rows: int) -> list[str]:
        """Return the bodies of calls of so many rows each."""
        parts = (self.rows[at : at + rows] for at in range(0, len(self.rows), rows))
        if self.more:
            return [json.dumps({self.key: {**self.more, "data": part}}) for part in parts]
        return [json.dumps({self.key: part}) for part in parts]

    def turn(self, rows: int, clients: int) -> Turn:
        """Let so many clients call for a while, in a process of their own."""
        given = {"port": self.port, "path": self.path, "bodies": self.bodies(rows), "clients": clients}
        command = [sys.executable, "-m", "benchmarks.serving.load"]
        call = json.dumps({**given, "seconds": SECONDS})
        done = subprocess.run(command, input=call, capture_output=True, text=True, check=False, env=environment())
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr[-1000:]}")
        said = json.loads(done.stdout)
        return said["rate"], 1000 * said["p50"], 1000 * said["p99"]

    def check(self, answers: list[float]) -> None:
        """Make sure that it gives these very predictions; which warms it up, too."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given: list[float] = []
        for body in self.bodies(100)[:20]:
            connection.request("POST", self.path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{self.name} answered {answer.status}: {text[:500]!r}")
            predictions = json.loads(text)["predictions"]
            given += [row["probability"] if isinstance(row, dict) else row for row in predictions]
        connection.close()
        if given != answers[: len(given)]:
            raise RuntimeError(f"{self.name} predicts otherwise")


def measure() -> Result:
    """Return calls a second of each, in turns, and this server's as a share of the others'."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home, ExitStack() as stack:
        folder = Path(os.environ.get("BENCHMARK_FOLDER", home))
        requests = prepared(folder)
        servers = [stack.enter_context(server) for server in _servers(folder, requests)]
        for server in servers:
            server.check(requests["answers"])
        turns: dict[tuple[int, int], list[list[Turn]]] = {}
        for shape in SHAPES:
            turns[shape] = [[server.turn(*shape) for server in servers] for _ in range(TURNS)]
    names = [server.name for server in servers]
    table, violations = [], []
    for (rows, clients), measured in turns.items():
        ratio = {
            name: median(turn[0][0] / turn[place][0] for turn in measured) for place, name in enumerate(names) if place
        }
        cells = [_shown([turn[place] for turn in measured], ratio.get(name)) for place, name in enumerate(names)]
        table.append((str(rows), str(clients), *cells))
        short = {name: ratio[name] for name, limit in LIMITS[rows].items() if ratio.get(name, limit) < limit}
        violations += [f"{rows} rows, {clients} clients: {share:.2f} of {name}" for name, share in short.items()]
    return Result(
        title="The model server: calls a second (median ms, 99th percentile; the first column as a share)",
        columns=("rows", "clients", *names),
        rows=tuple(table),
        violations=tuple(violations),
        note=f"Medians of {TURNS} turns of {SECONDS:g} s each, one process a server; flight_delay's booster; this "
        "server with schema, prediction log and metrics, the others with the finished inputs and nothing else",
    )


def _shown(turns: list[Turn], ratio: float | None) -> str:
    rate, half, late = (median(values) for values in zip(*turns, strict=True))
    return f"{rate:,.0f} ({half:.1f}, {late:.1f}{'' if ratio is None else f'; {ratio:.2f}'})"


def prepared(folder: Path) -> dict[str, Any]:
    """Return what servers are asked, made once in a folder."""
    ready = folder / "requests.json"
    if not ready.exists():
        python(PREPARE, str(DAGS), str(folder), str(ROWS))
    return dict(json.loads(ready.read_text()))


def _servers(folder: Path, requests: dict[str, Any]) -> Iterator[Any]:
    """Yield all servers, this one first."""
    model = folder / "mlflow_model"
    yield ours("this server, SQLite", folder, requests)
    if shutil.which("redis-server"):
        yield _with_redis(folder, requests)
    yield ours("without features", folder, {**requests, "rows": requests["named"]}, "--scoring", requests["scoring"])
    yield _other("bare", folder, ["-m", "benchmarks.serving.bare", str(model / "model.lgb"), "PORT"], requests)
    command = ["-m", "mlflow", "models", "serve", "--model-uri", str(model), "--env-manager", "local"]
    yield _other("mlflow", folder, [*command, "--host", "127.0.0.1", "--port", "PORT"], requests)
    if interpreter := os.environ.get("BENCHMARK_BENTOML"):
        command = ["-m", "bentoml", "serve", "benchmarks.serving.bento:Service", "--host", "127.0.0.1"]
        os.environ["MODEL"] = str(model / "model.lgb")
        yield _other("BentoML", folder, [*command, "--port", "PORT"], requests, interpreter)


@contextmanager
def ours(name: str, folder: Path, requests: dict[str, Any], *more: str) -> Iterator[Server]:
    """Run this server. :param more: of its command line."""
    port = free_port()
    command = [sys.executable, "-m", "airflow_mlops_provider.serving", "--product", "flight_delay"]
    with _running(
        [*command, "--root", requests["root"], "--port", str(port), *more], folder / f"{name}.log", port, "/ready"
    ):
        yield Server(name, port, "/predict", requests["rows"], "rows")


@contextmanager
def _with_redis(folder: Path, requests: dict[str, Any]) -> Iterator[Server]:
    feast = Path(requests["root"]) / "flight_delay" / "feast"
    other = feast.with_name("feast-redis")
    shutil.copytree(feast, other, dirs_exist_ok=True)
    for stale in ("registry.db", "registry.sha256", "online.db"):
        (other / stale).unlink(missing_ok=True)
    with redis() as port:
        python(TO_REDIS, str(DAGS), str(other), f"localhost:{port}")
        store = json.dumps({"type": "redis", "connection_string": f"localhost:{port}"})
        with ours("Redis", folder, requests, "--feature-store", str(other), "--online-store", store) as server:
            yield server


@contextmanager
def _other(
    name: str, folder: Path, arguments: list[str], requests: dict[str, Any], interpreter: str = sys.executable
) -> Iterator[Server]:
    port = free_port()
    command = [str(port) if argument == "PORT" else argument for argument in (interpreter, *arguments)]
    is_mlflow = name == "mlflow"
    with _running(command, folder / f"{name}.log", port, "/health" if is_mlflow else "/livez"):
        if is_mlflow:
            more = {"columns": requests["columns"]}
            yield Server(name, port, "/invocations", requests["inputs"], "dataframe_split", more)
        else:
            yield Server(name, port, "/predict", requests["inputs"], "data")


@contextmanager
def _running(command: list[str], log: Path, port: int, ready: str) -> Iterator[int]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment(), start_new_session=True
        )
    try:
        _wait(process, port, ready, log)
        yield process.pid
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], port: int, ready: str, log: Path) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", ready)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{log.name}: not ready: {log.read_text(errors='replace')[-2000:]}")
