"""The training pipeline of real flights, run once more by hand with nothing changed, against the same with Force.

Beside both, what Airflow itself takes for that DAG: each task hands on at once what it handed on before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from operator import truediv
from pathlib import Path
from statistics import median

from benchmarks import Result

DAGS = Path(__file__).parent.parent / "dags"
RUNS = 3

# The features come from the jobs themselves; then Airflow runs the DAG as its own test command does, each job in its
# process. Turn and turn about, so that a busy minute of the machine falls on both.
_PROBE = """
import json, sys, time
from datetime import UTC, datetime
from pathlib import Path

dags, landing, root, runs = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
sys.path.insert(0, dags)
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.intervals import current, leading_to
from airflow_mlops_provider.storage.manifests import read_manifest
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from flight_delay import replay
from flight_delay.product import product

services = Services(landing=str(landing), mlflow=f"sqlite:///{root}/mlflow.db")


def job(name, interval, **inputs):
    manifest = runner.run(
        JobSpec(job=name, product="flight_delay", interval=interval, inputs=inputs, root=root, services=services,
                **find_job(name).parts_of(product, {}))
    )
    assert manifest.state == "success", manifest.failure
    return manifest.result


starts = [datetime(2013, month, 1, tzinfo=UTC) for month in range(1, 5)]
for interval in (Interval(start=start, end=end) for start, end in zip(starts, starts[1:])):
    replay.deliver(landing, interval)
    job("clean", interval, raw=job("extract", interval))
    clean = leading_to(current(open_store(root), "flight_delay", "clean"), interval, 2)
    job("load", interval, features=job("compute", interval, clean=clean))

from airflow.dag_processing.dagbag import DagBag

dag = DagBag(dags + "/training.py").dags["flight_delay_training"]
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

store, taken, trained = open_store(root), {True: [], False: [], None: []}, {True: 0, False: 0}


def trainings():
    keys = [key.rpartition("/")[0] for key in store.list("flight_delay/train") if key.endswith("/manifest.json")]
    read = (read_manifest(store, key) for key in keys)
    return {manifest.ended for manifest in read if manifest and not manifest.reused}


def timed(kind):
    began = time.perf_counter()
    run = dag.test(run_conf={"force": bool(kind)})
    taken[kind].append(time.perf_counter() - began)
    assert run.state == "success", run.state
    return run


def handing_on(values):
    def execute(context):
        for key, value in values.items():
            if key != "return_value" and not key.startswith("_link_"):
                context["ti"].xcom_push(key=key, value=value)
        return values["return_value"]
    return execute


for _ in range(runs):
    for force in (True, False):
        before = trainings()
        run = timed(force)
        trained[force] += len(trainings() - before)
    handed = {}
    with create_session() as session:
        for row in session.scalars(select(XComModel).where(XComModel.run_id == run.run_id)):
            handed.setdefault(row.task_id, {})[row.key] = XComModel.deserialize_value(row)
    for task in dag.tasks:
        task.__dict__["execute"] = handing_on(handed[task.task_id])
    timed(None)
    for task in dag.tasks:
        del task.__dict__["execute"]
Path(sys.argv[5]).write_text(json.dumps({"forced": taken[True], "again": taken[False], "airflow": taken[None],
                                         "trained": [trained[True], trained[False]]}))
"""


def measure() -> Result:
    """Return the medians of several runs of each kind, in seconds, and how often each trained."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        seconds = _measured(Path(folder))
    forced, again, airflow, trained = (seconds[kind] for kind in ("forced", "again", "airflow", "trained"))
    turns = [*zip(forced, again, airflow, strict=True)]
    ratios = [slow / fast for slow, fast, _ in turns]
    beyond = [(slow - alone) / max(fast - alone, 0.01) for slow, fast, alone in turns]
    return Result(
        title="The training pipeline once more",
        columns=("", "median s", "times as fast", "beyond Airflow's own", "models trained"),
        rows=(
            ("all work done again (Force)", f"{median(forced):.1f}", "", "", f"{trained[0]} in {RUNS} runs"),
            (
                *("nothing changed", f"{median(again):.1f}", f"{median(ratios):.1f}", f"{median(beyond):.1f}"),
                f"{trained[1]} in {RUNS} runs",
            ),
            ("Airflow alone", f"{median(airflow):.1f}", f"{median(map(truediv, forced, airflow)):.1f}", "", ""),
        ),
        violations=("an unchanged run trained a model",) if trained[1] else (),
        note=f"{RUNS} runs each by turns, three months of flights, Airflow's own `dag.test`, jobs as processes. "
        "In *Airflow alone* each task of that DAG hands on at once what it handed on before",
    )


def _measured(folder: Path) -> dict[str, list[float]]:
    root, out = folder / "mlops", folder / "measured.json"
    settings = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__MLOPS__ARTIFACT_ROOT": str(root),
        "AIRFLOW__MLOPS__LANDING_ROOT": str(folder / "landing"),
        "PYTHONWARNINGS": "ignore",
    }
    arguments = [str(DAGS), str(folder / "landing"), str(root), str(RUNS), str(out)]
    for command in (["-m", "airflow", "db", "migrate"], ["-c", _PROBE, *arguments]):
        done = subprocess.run(
            [sys.executable, *command], env={**os.environ, **settings}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[:2]}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return dict(json.loads(out.read_text()))
