"""The demo: a real Airflow, the reference product, one month of deliveries after another.

The demo plays the airlines' data system and nothing else: it puts each month's files into the landing root once the
loop has come to rest. It starts no DAG run; the schedule and asset events do.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

from rich.console import Console

from airflow_mlops_provider.backends.code import load, load_product
from airflow_mlops_provider.cli.report import show, write_page
from airflow_mlops_provider.cli.stack import Stack, StackConfig, stop_running
from airflow_mlops_provider.cli.summary import summarise
from airflow_mlops_provider.cli.watch import Watch
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct

PRODUCT = "flight_delay"
MONTH_SECONDS = 300
ARTIFACTS = "mlops"
LANDING = "landing"
SUMMARY = "summary.json"


def run(home: Path, dags: Path, port: int, serving_port: int | None, months: int) -> None:
    """Replay some months and write ``summary.json`` and ``summary.html`` into the home.

    :raises MLOpsError: if a run fails or the stack does not come up; what was started is stopped.
    """
    console, began = Console(highlight=False), time.monotonic()
    stop_running(home)
    shutil.rmtree(home, ignore_errors=True)
    product = load_product(PRODUCT)
    stack = Stack(StackConfig(home=home, dags=dags, api_port=port, env=environment(home, serving_port)))
    threading.Thread(target=prepare_mlflow, args=(home,), daemon=True).start()
    with stack:
        stack.start(lambda line: console.print(f"[dim]{line}[/]"))
        watch = Watch(stack, PRODUCT, console.print)
        replay(console, watch, product, home / LANDING, months)
        summary = summarise(watch, product, home / ARTIFACTS)
    summary["seconds"] = round(time.monotonic() - began, 1)
    (home / SUMMARY).write_text(json.dumps(summary, indent=1))
    write_page(summary, home / "summary.html")
    show(console, summary, home)


def environment(home: Path, serving_port: int | None = None) -> dict[str, str]:
    """Return the settings by which Airflow's tasks find the demo's folders."""
    env = {
        "AIRFLOW__MLOPS__ARTIFACT_ROOT": str((home / ARTIFACTS).resolve()),
        "AIRFLOW__MLOPS__LANDING_ROOT": str((home / LANDING).resolve()),
        "AIRFLOW__MLOPS__POKE_SECONDS": "1",
        "AIRFLOW__MLOPS__RETRY_SECONDS": "5",
    }
    return {**env, "AIRFLOW__MLOPS__SERVING_PORT": str(serving_port)} if serving_port else env


def prepare_mlflow(home: Path) -> None:
    """Make MLflow's tables while Airflow starts: the first training need not wait for them."""
    from airflow_mlops_provider.backends.mlflow_server import MlflowServer

    (home / ARTIFACTS).mkdir(parents=True, exist_ok=True)
    MlflowServer(f"sqlite:///{(home / ARTIFACTS).resolve()}/mlflow.db").prepare()


def replay(console: Console, watch: Watch, product: MLProduct, landing: Path, months: int) -> None:
    """Deliver one data interval after another, each when the loop has come to rest."""
    deliver = load(f"{product.name}.replay:deliver")
    for number, interval in enumerate(intervals(product, months), start=1):
        began = time.monotonic()
        console.print(f"\n[bold]{interval.start:%B %Y}[/]  delivered  ({number} of {months})")
        deliver(landing, interval)
        watch.until_rest(interval.start, MONTH_SECONDS)
        console.print(f"  [dim]at rest after {time.monotonic() - began:.0f} s[/]")


def intervals(product: MLProduct, count: int) -> list[Interval]:
    """Return the product's first data intervals, as its schedule cuts them."""
    from croniter import croniter

    edges = croniter(product.schedule.cron, product.schedule.start)
    starts = [product.schedule.start, *(edges.get_next(type(product.schedule.start)) for _ in range(count))]
    return [Interval(start=start, end=end) for start, end in zip(starts, starts[1:], strict=False)]
