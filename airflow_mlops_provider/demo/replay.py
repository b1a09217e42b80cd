"""The demo: a real Airflow, the reference product, one month of deliveries after another.

The demo plays the airlines' data system: it puts each month's files into the landing root once the loop has come to
rest, and the schedule and asset events start every run. After the months it plays a data scientist, who starts one: a
small experiment, by the form of its pipeline. Its winner goes to a repository in the demo's home, not to the user's.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from airflow_mlops_provider.demo.page import write_page
from airflow_mlops_provider.demo.report import show
from airflow_mlops_provider.demo.stack import Stack, StackConfig, stop_running
from airflow_mlops_provider.demo.summary import summarise
from airflow_mlops_provider.demo.watch import Watch
from airflow_mlops_provider.discovery import intervals
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.render import terminal
from airflow_mlops_provider.runtime.code import load, load_product, source_file

PRODUCT = "flight_delay"
MONTHS = 7
MARK = ".mlops-demo"
#: Long enough for a machine that is slow, or shared.
MONTH_SECONDS = 900
ARTIFACTS = "mlops"
LANDING = "landing"
SUMMARY = "summary.json"
SOURCE = "source.git"
#: What is filled into the form of the experiment: enough to find something, and over in a minute or two.
EXPERIMENT = {"trials": 6, "minutes": 3}


def run(home: Path, dags: Path, port: int, serving_port: int | None, months: int) -> None:
    """Replay some months and write ``summary.json`` and ``summary.html`` into the home.

    :raises MLOpsError: if a run fails or the stack does not come up; what was started is stopped.
    """
    with replayed(home, dags, port, serving_port, months) as (_, summary):
        pass  # nothing more is asked of it
    show(terminal.console(), summary, home)


def make_anew(home: Path) -> None:
    """Stop what runs from a demo's home and empty it; what no demo has made is never touched.

    :raises ConfigurationError: if the folder holds something and no demo has made it.
    """
    if home.exists() and any(home.iterdir()) and not (home / MARK).exists():
        raise ConfigurationError(
            f"{home} is not empty and no demo has made it, so it is left as it is; name another folder with --home"
        )
    stop_running(home)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / MARK).write_text("Made by `airflow mlops demo`, which empties this folder when it runs again.\n")


@contextmanager
def replayed(
    home: Path, dags: Path, port: int, serving_port: int | None, months: int
) -> Iterator[tuple[Stack, dict[str, Any]]]:
    """Replay some months, write the record, and give the stack, still running, with the record; then stop it.

    :param home: made anew: what an earlier demo left there is removed.
    :param serving_port: the model server's; None for the product's own.
    :raises ConfigurationError: if the home holds something that no demo has put there.
    :raises MLOpsError: if a run fails or the stack does not come up; what was started is stopped.
    """
    console, began = terminal.console(), time.monotonic()
    make_anew(home)
    product = load_product(PRODUCT)
    env = {**environment(home, serving_port), **own_repository(home, product)}
    stack = Stack(StackConfig(home=home, dags=dags, api_port=port, env=env))
    threading.Thread(target=prepare_mlflow, args=(home,), daemon=True).start()
    with stack:
        stack.start(lambda line: console.print(f"[dim]{line}[/]"))
        watch = Watch(stack, PRODUCT, console.print)
        replay(console, watch, product, home / LANDING, months)
        experiment(console, watch, product, months)
        summary = summarise(watch, product, home / ARTIFACTS)
        summary["seconds"] = round(time.monotonic() - began, 1)
        (home / SUMMARY).write_text(json.dumps(summary, indent=1))
        write_page(summary, home / "summary.html")
        yield stack, summary


def environment(home: Path, serving_port: int | None = None) -> dict[str, str]:
    """Return the settings by which Airflow's tasks find the demo's folders."""
    env = {
        "AIRFLOW__MLOPS__ARTIFACT_ROOT": str((home / ARTIFACTS).resolve()),
        "AIRFLOW__MLOPS__LANDING_ROOT": str((home / LANDING).resolve()),
        "AIRFLOW__MLOPS__POKE_SECONDS": "1",
        "AIRFLOW__MLOPS__RETRY_SECONDS": "5",
    }
    return {**env, "AIRFLOW__MLOPS__SERVING_PORT": str(serving_port)} if serving_port else env


def own_repository(home: Path, product: MLProduct) -> dict[str, str]:
    """Make a repository that keeps the product's code, and return the connection that has experiments commit there."""
    from airflow_mlops_provider.backends.source.access import Credentials
    from airflow_mlops_provider.backends.source.git import GitRemote, Person

    bare, code = (home / SOURCE).resolve(), source_file(f"{product.name}.product").parent
    bare.mkdir(parents=True)
    GitRemote(bare.as_uri(), bare, Credentials()).begin(code, Person(product.business.owners.ml_engineer))
    connection = {"conn_type": "mlops_source", "extra": {"remote": bare.as_uri(), "path": code.name}}
    return {f"AIRFLOW_CONN_MLOPS_SOURCE_{product.name.upper()}": json.dumps(connection)}


def prepare_mlflow(home: Path) -> None:
    """Make MLflow's tables while Airflow starts: the first training need not wait for them."""
    from airflow_mlops_provider.backends.tracking.mlflow.server import MlflowServer

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


def experiment(console: Console, watch: Watch, product: MLProduct, months: int) -> None:
    """Start a small experiment by its pipeline's form and wait for its end; too few months have nothing to try on."""
    if product.search is None or months < product.training.windows.train + product.training.windows.evaluate:
        return
    began, last = time.monotonic(), intervals(product, months)[-1]
    told = ", ".join(f"{name} {value}" for name, value in EXPERIMENT.items())
    console.print(f"\n[bold]Experiment[/]  started by its form: {told}")
    watch.stack.trigger(f"{product.name}_experimentation", EXPERIMENT)
    watch.until_rest(last.start, MONTH_SECONDS)
    console.print(f"  [dim]at rest after {time.monotonic() - began:.0f} s[/]")
