"""The demo: a real Airflow, the reference product, one month of deliveries after another.

The demo plays the airlines' data system: it puts each month's files into the landing root once the loop has come to
rest, and the schedule and asset events start every run. One month's weather has a gap at first, is delivered again, and
that month's run is started again, as by hand: what stood on it is made anew by itself. It plays the ML engineer, who is
asked whether a later version may go live, and those who call the model server, by whose calls a candidate is judged.
After the months it plays a data scientist, who starts a small experiment by its pipeline's form; the winner goes to a
repository in the demo's home.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from airflow_mlops_provider.backends.model_server.client import server_state
from airflow_mlops_provider.demo import home as demo_home
from airflow_mlops_provider.demo.deliveries import Deliveries, Delivery
from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.demo.page import write_page
from airflow_mlops_provider.demo.release import Release
from airflow_mlops_provider.demo.summary import summarise
from airflow_mlops_provider.demo.watch import Watch, begins
from airflow_mlops_provider.discovery import intervals
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.render import terminal
from airflow_mlops_provider.runtime.code import load_product

PRODUCT = "flight_delay"
MONTHS = 7
#: The number of the month that is delivered with a gap, and of the one with which it comes whole.
GAP, WHOLE = 4, 5
#: Long enough for a machine that is slow, or shared.
MONTH_SECONDS = 900
SUMMARY = "summary.json"
READY = "ready"  # the folder of deliveries whose turn has not come
#: What is filled into the form of the experiment: enough to find something, and over in a minute or two.
EXPERIMENT = {"trials": 6, "minutes": 3}


@contextmanager
def replayed(
    home: Path, dags: Path, port: int, serving_port: int | None, months: int
) -> Iterator[tuple[Stack, dict[str, Any]]]:
    """Replay some months, write ``summary.json`` and ``.html``, give the stack, still running, and the record; stop it.

    :param home: made anew: what an earlier demo left there is removed.
    :param serving_port: the model server's; None for the product's own.
    :raises ConfigurationError: if the home holds something that no demo has put there.
    :raises MLOpsError: if a run fails or the stack does not come up; what was started is stopped.
    """
    console, began = terminal.console(), time.monotonic()
    demo_home.make_anew(home)
    product = load_product(PRODUCT)
    env = {**demo_home.environment(home, [product], serving_port), **demo_home.own_repository(home, product)}
    stack = Stack(home, dags, port, env)
    threading.Thread(target=demo_home.prepare_mlflow, args=(home,), daemon=True).start()
    landing = home / demo_home.LANDING
    ready = Deliveries(f"{product.name}.replay:deliver", plan(product, months), landing, home / READY)
    with closing(ready) as deliveries, stack:
        stack.start(lambda line: console.print(f"[dim]{line}[/]"))
        url = f"http://{product.serving.host}:{serving_port or product.serving.port}"
        release = Release(stack.api, product, home / demo_home.ARTIFACTS, url, console.print)
        watch = Watch(stack, PRODUCT, console.print, release.look)
        served = deliver_months(console, watch, product, deliveries, months, url)
        experiment(console, watch, product, months)
        summary = summarise(watch, product, home / demo_home.ARTIFACTS)
        summary |= {"calls": release.calls(), "served": served}
        summary["seconds"] = round(time.monotonic() - began, 1)
        (home / SUMMARY).write_text(json.dumps(summary, indent=1))
        write_page(summary, home / "summary.html")
        yield stack, summary


def plan(product: MLProduct, months: int) -> list[Delivery]:
    """Return what is delivered, in its order."""
    deliveries, every = list[Delivery](), intervals(product, months)
    for number, interval in enumerate(every, start=1):
        deliveries.append(Delivery(interval, gap=number == GAP < months))
        if number == WHOLE:
            deliveries.append(Delivery(every[GAP - 1]))
    return deliveries


def deliver_months(
    console: Console, watch: Watch, product: MLProduct, deliveries: Deliveries, months: int, url: str
) -> list[dict[str, Any]]:
    """Deliver one data interval after another, each when the loop has come to rest.

    :return: which version the model server itself said that it serves, at the end of each.
    """
    served = list[dict[str, Any]]()
    for number, interval in enumerate(intervals(product, months), start=1):
        console.print(f"\n[bold]{interval.start:%B %Y}[/]  delivered  ({number} of {months})")
        with _until_rest(console, watch, interval.start):
            deliveries.arrive()
        if number == WHOLE:
            correct(console, watch, product, deliveries, intervals(product, months)[GAP - 1], interval)
        state = server_state(url)
        version, now = state.version if state else None, datetime.now(UTC).isoformat()
        served.append({"interval": str(interval), "at": now, "version": version})
    return served


def correct(
    console: Console, watch: Watch, product: MLProduct, deliveries: Deliveries, interval: Interval, newest: Interval
) -> None:
    """Deliver an interval again, now whole, and start its run again; the later ones that stand on it follow."""
    console.print(f"\n[bold]{interval.start:%B %Y}[/]  delivered again, with the weather that was missing")
    api, dag_id = watch.stack.api, f"{product.name}_feature_engineering"
    (run,) = (run for run in watch.runs() if run["dag_id"] == dag_id and begins(run) == interval.start)
    with _until_rest(console, watch, newest.start):
        deliveries.arrive()
        api.post(f"dags/{dag_id}/dagRuns/{run['dag_run_id']}/clear", {"dry_run": False})


def experiment(console: Console, watch: Watch, product: MLProduct, months: int) -> None:
    """Start a small experiment by its pipeline's form and wait for its end; too few months have nothing to try on."""
    if product.search is None or months < product.training.windows.train + product.training.windows.evaluate:
        return
    last = intervals(product, months)[-1]
    form = ", ".join(f"{name} {value}" for name, value in EXPERIMENT.items())
    console.print(f"\n[bold]Experiment[/]  started by its form: {form}")
    with _until_rest(console, watch, last.start):
        watch.stack.api.trigger(f"{product.name}_experimentation", EXPERIMENT)


@contextmanager
def _until_rest(console: Console, watch: Watch, interval_start: datetime) -> Iterator[None]:
    """Do something, wait until the loop has come to rest, and say how long that took."""
    began = time.monotonic()
    yield
    watch.until_rest(interval_start, MONTH_SECONDS)
    console.print(f"  [dim]at rest after {time.monotonic() - began:.0f} s[/]")
