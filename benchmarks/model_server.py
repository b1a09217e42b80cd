"""This model server with everything on, against `mlflow models serve` with the same booster, by turns."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks import Result

DAGS = Path(__file__).parent.parent / "dags"
CLIENTS = 8
TURNS = 5
CALLS = {1: 25, 100: 12}  # rows a call: calls of each client in a turn
LIMIT = 0.5
Turn = tuple[float, float, float]  # calls a second, the median time of one in ms, processor time of one in ms
ALL = max(CALLS) * CLIENTS

# Two months of real flights to the feature store, a model of them, and the next month's flights to ask for: for MLflow
# as the finished inputs, with numbers for categories, and without the booster's list of them, which no JSON can meet.
_PREPARE = """
import json, sys
from pathlib import Path

dags, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
sys.path.insert(0, dags)
import lightgbm
import mlflow.lightgbm
import numpy as np
import pandas as pd
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.intervals import current, leading_to
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.backends.model_server import releases
from flight_delay import replay
from flight_delay.examples import examples
from flight_delay.product import product

root, landing = str(folder / "artifacts"), folder / "landing"
services, store = Services(landing=str(landing), mlflow=f"sqlite:///{folder}/mlflow.db"), open_store(root)


def job(name, interval=None, params=None, **inputs):
    manifest = runner.run(JobSpec(job=name, product=product.name, interval=interval, inputs=inputs, root=root,
                                  services=services, **find_job(name).parts_of(product, params or {})))
    assert manifest.state == "success", manifest.failure
    return manifest.result


def clean(interval):
    replay.deliver(landing, interval)
    return job("clean", interval, raw=job("extract", interval))


features = []
for interval in map(replay.month, ("2013-01", "2013-02")):
    clean(interval)
    features.append(job("compute", interval, clean=leading_to(current(store, product.name, "clean"), interval, 2)))
    job("load", interval, features=features[-1])
truth = tuple(current(store, product.name, "clean"))
model = job("train", training_set=job("training_set", params={"evaluate": 1}, features=features, truth=truth))
version = ModelVersion(uri=model.uri, hash=model.hash, name=product.name, version=1, facts=model.facts)
for status in (Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY, Status.LIVE):
    Ledger(store, product.name).move(version, status, reason="to be measured", by="benchmark")
releases.request(store, product.name, releases.Release.of(version))

march = replay.month("2013-03")
tables = {file.stem: pd.read_parquet(file) for file in Path(clean(march).uri.removeprefix("file://")).glob("*.parquet")}
rows = examples(tables, march).sample(count, random_state=7).reset_index(drop=True)
rows = rows[rows["event_time"] >= march.start][[*product.features.request, "event_time"]]
rows = pd.concat([rows, rows])[:count].reset_index(drop=True)
predictor = Predictor.load(product.scoring, Path(model.uri.removeprefix("file://")), version)
backend = FeatureStoreBackend(product.shape, Path(root) / product.name / "feast")
inputs = predictor.inputs(rows, backend.online(rows))
for name in inputs.select_dtypes("category"):
    inputs[name] = inputs[name].cat.codes.astype("float64").where(inputs[name].notna())
inputs = inputs.astype("float64")
ready = [[None if value != value else value for value in row] for row in inputs.to_numpy().tolist()]
booster = getattr(predictor.model.model, "booster", predictor.model.model)
trees = booster.model_to_string().rpartition("pandas_categorical:")[0] + "pandas_categorical:null\\n"
mlflow.lightgbm.save_model(lightgbm.Booster(model_str=trees), folder / "mlflow_model",
                           signature=mlflow.models.infer_signature(inputs))
answers = [float(value) for value in predictor.predict(rows, backend.online(rows))]
sent = json.loads(rows.to_json(orient="records", date_format="iso"))
(folder / "requests.json").write_text(json.dumps({"rows": sent, "inputs": ready, "columns": [*inputs],
                                                     "answers": answers, "root": root}))
"""


@dataclass(frozen=True)
class Server:
    """A server to send requests to.

    :param bodies: by rows a call, the bodies that each client sends one after the other.
    """

    name: str
    port: int
    path: str
    bodies: dict[int, list[bytes]]
    process: int

    def busy(self) -> float:
        """Return the processor seconds that it has taken so far."""
        top = psutil.Process(self.process)
        return sum(sum(each.cpu_times()[:2]) for each in (top, *top.children(recursive=True)))

    def predict(self, connection: http.client.HTTPConnection, body: bytes) -> list[float]:
        """Return the answered probabilities."""
        connection.request("POST", self.path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.name} answered {answer.status}: {text[:500]!r}")
        predictions = json.loads(text)["predictions"]
        return [row["probability"] if isinstance(row, dict) else row for row in predictions]


def measure() -> Result:
    """Return calls a second of both, in turns of a fixed number of calls, and their ratio."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home:
        folder = Path(home)
        requests = _prepared(folder)
        with _ours(folder, requests) as ours, _mlflow(folder, requests) as theirs:
            for server in (ours, theirs):
                _check(server, requests["answers"])
            measured = {rows: _by_turns(ours, theirs, rows) for rows in CALLS}
    ratios = {rows: median(here[0] / there[0] for here, there in turns) for rows, turns in measured.items()}
    table = [
        (f"{rows}", *(_shown([turn[server] for turn in turns]) for server in (0, 1)), f"{ratios[rows]:.2f}")
        for rows, turns in measured.items()
    ]
    return Result(
        title=f"Calls a second, {CLIENTS} clients (median ms of a call, processor ms of a call)",
        columns=("rows a call", "this server, everything on", "mlflow models serve", f"ratio, at least {LIMIT}"),
        rows=tuple(table),
        violations=tuple(f"{rows} rows a call: {ratio:.2f}" for rows, ratio in ratios.items() if ratio < LIMIT),
        note=f"{TURNS} turns each, {CLIENTS} by {CALLS[1]} and {CLIENTS} by {CALLS[100]} calls, medians; flight_delay's"
        " booster; here with schema, features from SQLite, prediction log and metrics, there with the finished inputs",
    )


def _shown(turns: list[Turn]) -> str:
    rate, half, busy = (median(values) for values in zip(*turns, strict=True))
    return f"{rate:.0f} ({half:.0f}, {busy:.1f})"


def _by_turns(ours: Server, theirs: Server, rows: int) -> list[tuple[Turn, Turn]]:
    return [(_turn(ours, rows), _turn(theirs, rows)) for _ in range(TURNS)]


def _turn(server: Server, rows: int) -> Turn:
    """Let every client make its calls, all at the same time."""
    taken: list[float] = []
    failed: list[BaseException] = []

    def call(client: int) -> None:
        bodies, connection = server.bodies[rows], http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        try:
            for number in range(CALLS[rows]):
                began = time.perf_counter()
                server.predict(connection, bodies[(client + number) % len(bodies)])
                taken.append(time.perf_counter() - began)
        except (OSError, RuntimeError, ValueError) as error:
            failed.append(error)
        finally:
            connection.close()

    clients = [threading.Thread(target=call, args=(number,)) for number in range(CLIENTS)]
    busy, began = server.busy(), time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if failed:
        raise failed[0]
    took = time.perf_counter() - began
    return len(taken) / took, 1000 * median(taken), 1000 * (server.busy() - busy) / len(taken)


def _check(server: Server, answers: list[float]) -> None:
    """Make sure that both give the very same predictions; which warms them up, too."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    given = [value for body in server.bodies[100] for value in server.predict(connection, body)]
    connection.close()
    if given != answers:
        raise RuntimeError(f"{server.name} predicts otherwise")


def _prepared(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", _PREPARE, str(DAGS), str(folder), str(ALL)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        raise RuntimeError(f"preparing: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return dict(json.loads((folder / "requests.json").read_text()))


@contextmanager
def _ours(folder: Path, requests: dict[str, Any]) -> Iterator[Server]:
    port = _free_port()
    command = [sys.executable, "-m", "airflow_mlops_provider.serving", "--product", "flight_delay"]
    with _running(
        [*command, "--root", requests["root"], "--port", str(port)], folder / "ours.log", port, "/ready"
    ) as process:
        yield Server("this server", port, "/predict", _bodies(requests["rows"]), process)


@contextmanager
def _mlflow(folder: Path, requests: dict[str, Any]) -> Iterator[Server]:
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(folder / "mlflow_model")]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, folder / "mlflow.log", port, "/health") as process:
        yield Server("mlflow", port, "/invocations", _bodies(requests["inputs"], requests["columns"]), process)


@contextmanager
def _running(command: list[str], log: Path, port: int, ready: str) -> Iterator[int]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=_environment(), start_new_session=True
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


def _bodies(given: list[Any], columns: list[str] | None = None) -> dict[int, list[bytes]]:
    def body(part: list[Any]) -> bytes:
        return json.dumps(
            {"dataframe_split": {"columns": columns, "data": part}} if columns else {"rows": part}
        ).encode()

    return {rows: [body(given[at : at + rows]) for at in range(0, len(given), rows)] for rows in CALLS}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    modules = os.pathsep.join([str(DAGS.parent), str(DAGS)])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, "PYTHONPATH": modules, "PATH": path, **quiet}
