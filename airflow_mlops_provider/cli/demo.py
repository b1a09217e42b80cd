"""The demo: a real Airflow, the reference product, one month of deliveries after another.

The demo plays the airlines' data system: it puts each month's files into the landing root once the loop has come to
rest, and the schedule and asset events start every run. After the months it plays a data scientist, who starts one: a
small experiment, by the form of its pipeline. Its winner goes to a repository in the demo's home, not to the user's.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from airflow_mlops_provider.backends.artifacts import FolderStore
from airflow_mlops_provider.backends.code import load, load_product, source_file
from airflow_mlops_provider.backends.ledger import Ledger
from airflow_mlops_provider.cli import processes, terminal
from airflow_mlops_provider.cli.page import write_page
from airflow_mlops_provider.cli.report import show
from airflow_mlops_provider.cli.settings import USER, password
from airflow_mlops_provider.cli.stack import Stack, StackConfig, stop_running
from airflow_mlops_provider.cli.summary import summarise
from airflow_mlops_provider.cli.watch import Watch
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct

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


def start_and_leave(home: Path, dags: Path, port: int, mlflow_port: int) -> None:
    """Start Airflow, MLflow and, if a version is live, the model server, and leave them running.

    In a home where nothing has happened yet the first months are delivered, and the loop begins.

    :raises MLOpsError: if a port is taken or something does not come up; what was started is stopped.
    """
    console, product = terminal.console(), load_product(PRODUCT)
    stack = Stack(StackConfig(home=home, dags=dags, api_port=port, env=environment(home)))
    processes.check_port(mlflow_port)
    if not home.exists() or not any(home.iterdir()):
        make_anew(home)
    prepare_mlflow(home)
    stack.start(lambda line: console.print(f"[dim]{line}[/]"))
    processes.start("mlflow", mlflow_command(home, mlflow_port), stack.env, stack.log("mlflow"), stack.home)
    if not (home / LANDING).exists():
        for interval in intervals(product, MONTHS):
            load(f"{PRODUCT}.replay:deliver")(home / LANDING, interval)
        console.print(f"delivered {MONTHS} months to {home / LANDING}; the loop begins by itself")
    elif Ledger(FolderStore(home / ARTIFACTS), PRODUCT).live():
        serve(product, home, stack.env)
    stack.detach()
    addresses = Table.grid(padding=(0, 2))
    addresses.add_row("Airflow", stack.config.url, f"user {USER}, password {password(stack.home)}")
    addresses.add_row("MLflow", f"http://127.0.0.1:{mlflow_port}")
    addresses.add_row("model server", f"http://{product.serving.host}:{product.serving.port}", "once a version is live")
    addresses.add_row("stop with", "make down")
    console.print(addresses)


def serve(product: MLProduct, home: Path, env: Mapping[str, str]) -> None:
    """Start the product's model server again; it loads the version that was live."""
    from airflow_mlops_provider.jobs.deploy import serving_code
    from airflow_mlops_provider.serving.launcher import ensure_running

    place, log = product.serving, home / "logs" / "model-server.log"
    paths = {**env, "PYTHONPATH": os.pathsep.join(filter(None, [*products_path(), env.get("PYTHONPATH")]))}
    root, code = str((home / ARTIFACTS).resolve()), serving_code(product)
    ensure_running(product.name, root, place.host, place.port, log, paths, code=code)


def products_path() -> list[str]:
    """Return the folder below which the demo's product lies."""
    return [str(source_file(f"{PRODUCT}.product").parent.parent)]


def mlflow_command(home: Path, port: int) -> list[str]:
    """Return the command that serves MLflow's pages over the demo's records."""
    backend = f"sqlite:///{(home / ARTIFACTS).resolve()}/mlflow.db"
    options = ["--backend-store-uri", backend, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *options]


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
    from airflow_mlops_provider.backends.git import GitRemote, Person
    from airflow_mlops_provider.backends.git_access import Credentials

    bare, code = (home / SOURCE).resolve(), source_file(f"{product.name}.product").parent
    bare.mkdir(parents=True)
    GitRemote(bare.as_uri(), bare, Credentials()).begin(code, Person(product.owners.ml_engineer))
    connection = {"conn_type": "mlops_source", "extra": {"remote": bare.as_uri(), "path": code.name}}
    return {f"AIRFLOW_CONN_MLOPS_SOURCE_{product.name.upper()}": json.dumps(connection)}


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


def experiment(console: Console, watch: Watch, product: MLProduct, months: int) -> None:
    """Start a small experiment by its pipeline's form and wait for its end; too few months have nothing to try on."""
    if product.search is None or months < product.windows.train + product.windows.evaluate:
        return
    began, last = time.monotonic(), intervals(product, months)[-1]
    told = ", ".join(f"{name} {value}" for name, value in EXPERIMENT.items())
    console.print(f"\n[bold]Experiment[/]  started by its form: {told}")
    watch.stack.trigger(f"{product.name}_experimentation", EXPERIMENT)
    watch.until_rest(last.start, MONTH_SECONDS)
    console.print(f"  [dim]at rest after {time.monotonic() - began:.0f} s[/]")


def intervals(product: MLProduct, count: int) -> list[Interval]:
    """Return the product's first data intervals, as its schedule cuts them."""
    from croniter import croniter

    edges = croniter(product.schedule.cron, product.schedule.start)
    starts = [product.schedule.start, *(edges.get_next(type(product.schedule.start)) for _ in range(count))]
    return [Interval(start=start, end=end) for start, end in pairwise(starts)]
