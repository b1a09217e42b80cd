"""Start every DAG of the reference bundle once by Airflow's REST API, in the demo's home; all must end well.

``make up`` has started that Airflow. What the clock or an asset event starts meanwhile must end well too.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from airflow_mlops_provider.demo.home import ARTIFACTS, LANDING
from airflow_mlops_provider.demo.local_airflow.api import AirflowApi, Row
from airflow_mlops_provider.demo.release import Release
from airflow_mlops_provider.demo.replay import MONTHS
from airflow_mlops_provider.discovery import intervals
from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.runtime.code import load, load_product

ROOT = Path(__file__).resolve().parents[1]
HOME, URL, PRODUCT = ROOT / "var" / "demo", "http://127.0.0.1:8080", "flight_delay"
SECONDS = 900
#: First what the others live on.
FIRST = ("_feature_engineering", "_experimentation", "_training", "_deployment", "_batch_inference", "_monitoring")
#: Tasks that their DAGs skip with a reason, by DAG.
MAY_SKIP = {
    "flight_delay_feature_engineering": ("features.remake_stale",),  # nothing is
    "flight_delay_experimentation": (
        "experimentation.trial",
        "experimentation.export_settings",
        "feedback.ask_for_data",
    ),
    "flight_delay_gpu_training": ("*",),  # no place ``gpu`` is described here
    "flight_delay_training": ("evaluation.retune", "registry.promote"),
    "flight_delay_deployment": ("deployment.approve", "deployment.deploy"),  # what was ready is live already
    "flight_delay_batch_inference": ("serving.list_new_features", "serving.predict"),  # all is predicted already
    "flight_delay_monitoring": (
        *("list_new_predictions", "monitoring.*"),  # all is judged already
        *("list_served", "collect", "list_collected", "served.*"),  # nobody called in an interval that is over
    ),
    "mlops_maintenance": ("remove_orphans", "remake_stale_*", "forget_*"),  # there is no cluster; nothing is to be done
}
CONF = {
    "flight_delay_experimentation": {"trials": 4, "minutes": 3},
    "mlops_initiation": {"data": f"{HOME / LANDING}/flights/*.csv"},
}


def main() -> None:
    """Start them one after another, and list each with its state and duration."""
    sys.path.insert(0, str(ROOT / "dags"))
    api, began, product = AirflowApi(URL, HOME), datetime.now(UTC), load_product(PRODUCT)
    serving = f"http://{product.serving.host}:{product.serving.port}"
    # A version that passes the gates meanwhile asks people, and is judged by calls.
    release = Release(api, product, HOME / ARTIFACTS, serving, print)
    dags = sorted((dag["dag_id"] for dag in api.rows("dags", "dags")), key=place)
    print(f"{len(dags)} DAGs: {', '.join(dags)}", flush=True)
    problems = [problem for dag_id in dags if (problem := tried(api, dag_id, release))]
    release.calls()
    for run in api.dag_runs(start_date_gte=began.isoformat()):
        if run["state"] == "failed":
            failed = [task["task_id"] for task in tasks_of(api, run) if task["state"] == "failed"]
            problems.append(", ".join([f"{run['dag_id']} {run['dag_run_id']}: failed", *failed]))
    if problems:
        sys.exit("\n".join(["not every DAG ended well:", *dict.fromkeys(problems)]))
    print(f"all {len(dags)} DAGs ended well")


def tried(api: AirflowApi, dag_id: str, release: Release) -> str | None:
    """Start a DAG, wait for its end, print how it went, and return what is wrong with it."""
    began = time.monotonic()
    try:
        run = ended(api, dag_id, started(api, dag_id), release)
        tasks = tasks_of(api, run)
        wrong = judged(dag_id, run, tasks)
        states = ", ".join(f"{count} {state}" for state, count in Counter(str(task["state"]) for task in tasks).items())
    except BackendError as error:
        wrong, run, states = f"{dag_id}: {error}", {"state": "-"}, "-"
    print(f"  {dag_id:<36} {run['state']:<8} {time.monotonic() - began:6.1f} s   {states}", flush=True)
    return wrong


def started(api: AirflowApi, dag_id: str) -> str:
    """Start a run and return its id; the pipeline that works interval by interval is given one that was delivered."""
    if dag_id != f"{PRODUCT}_feature_engineering":
        return api.trigger(dag_id, CONF.get(dag_id))
    *_, last, coming = intervals(load_product(PRODUCT), MONTHS + 1)
    span = {"data_interval_start": last.start.isoformat(), "data_interval_end": last.end.isoformat()}
    run = api.trigger(dag_id, logical_date=moment(last), **span)
    # The run that waits for the coming month goes first: only one runs at a time.
    load(f"{PRODUCT}.replay:deliver")(HOME / LANDING, coming)
    return run


def ended(api: AirflowApi, dag_id: str, run_id: str, release: Release) -> Row:
    """Return a run that has ended. :raises BackendError: if it takes too long."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        run: Row = api.get(f"dags/{dag_id}/dagRuns/{run_id}")
        if run["state"] in {"success", "failed"}:
            return run
        release.look()
        time.sleep(1)
    waiting = [task["task_id"] for task in tasks_of(api, run) if task["state"] not in {"success", "skipped"}]
    raise BackendError(f"{run['state']} after {SECONDS} s, waiting for {', '.join(waiting) or 'its first task'}")


def judged(dag_id: str, run: Row, tasks: list[Row]) -> str | None:
    """Return what is wrong with a run that has ended."""
    if run["state"] != "success":
        bad = [f"{task['task_id']} {task['state']}" for task in tasks if task["state"] not in {"success", "skipped"}]
        return f"{dag_id}: {run['state']}: {', '.join(bad)}"
    allowed = MAY_SKIP.get(dag_id, ())
    skipped = {task["task_id"] for task in tasks if task["state"] == "skipped"}
    wrong = sorted(name for name in skipped if not any(fnmatch(name, pattern) for pattern in allowed))
    return f"{dag_id}: skipped without leave: {', '.join(wrong)}" if wrong else None


def tasks_of(api: AirflowApi, run: Row) -> list[Row]:
    """Return a run's task instances."""
    return api.task_instances(run["dag_id"], run["dag_run_id"])


def place(dag_id: str) -> tuple[int, str]:
    """Return a DAG's place in the order."""
    return next((at for at, end in enumerate(FIRST) if dag_id.endswith(end)), len(FIRST)), dag_id


def moment(interval: Interval) -> str:
    """Return a logical date that no scheduled run has."""
    return datetime.now(UTC).replace(year=interval.start.year, month=interval.start.month, day=2).isoformat()


if __name__ == "__main__":
    main()
