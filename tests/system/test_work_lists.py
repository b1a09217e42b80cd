"""Deliveries all at once, out of order, elsewhere, again: in a real Airflow nothing waits for ever or is lost."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, judgements
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.shop import START, ShopWorld
from tests.factories.tiny import manifests

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]
DAGS = Path(__file__).parents[2] / "dags"
PIPELINES = ("feature_engineering", "batch_inference", "monitoring")
SLOW = """
import os, time
from pathlib import Path


def assemble(rows):
    while "TEST_GATE" in os.environ and not Path(os.environ["TEST_GATE"]).exists():
        time.sleep(0.1)
    return rows[["mean_amount"]].assign(hour=rows["event_time"].dt.hour)
"""
EXPECTATIONS = """
def expectations(name):
    from great_expectations.expectations import ExpectColumnToExist

    return [ExpectColumnToExist(column="shop")]
"""
MOVES = """
from datetime import UTC, datetime, timedelta
from airflow.sdk import DAG, CronDataIntervalTimetable
from airflow_mlops_provider.pipelines import products
from airflow_mlops_provider.sensors.features import SourceDeliverySensor

(product,) = [one for one in products(__file__) if one.name == "{name}"]
source = product.data.sources[0].model_copy(update={{"path": "{path}"}})
with DAG("moves", schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"), catchup=True,
         start_date=datetime(2024, 1, 1, tzinfo=UTC), end_date=datetime(2024, 1, 1, tzinfo=UTC)):
    moved = product.model_copy(update={{"data": product.data.model_copy(update={{"sources": (source,)}})}})
    SourceDeliverySensor(task_id="wait", product=moved, refresh_after=timedelta(seconds=3), retries=3,
                         retry_delay=timedelta(seconds=1))
"""


class Shop:
    """A product with a version live since day 2, in an Airflow that works on days 3 to 7."""

    def __init__(self, folder: Path) -> None:
        self.world = ShopWorld(folder)
        self.world.write("assemble.py", SLOW)
        self.world.write("expectations.py", EXPECTATIONS)
        text = (self.world.package / "product.py").read_text()
        schedule = "start=datetime(2024, 1, 3, tzinfo=UTC), end=datetime(2024, 1, 8, tzinfo=UTC))"
        text = text.replace("start=datetime(2024, 1, 1, tzinfo=UTC))", schedule)
        self.world.write("product.py", text)
        self.name, self.store = self.world.name, open_store(str(self.world.root))
        version, ledger = self.world.learn(), Ledger(self.store, self.name)
        for status in (Status.STAGING, Status.PRODUCTION_READY, Status.LIVE):
            ledger.move(version, status, reason="for the test", by="the test")
        self.gate, self.dags = folder / "gate", folder / "dags"
        self.dags.mkdir()
        for pipeline in PIPELINES:
            shutil.copy(DAGS / f"{pipeline}.py", self.dags)
        self.moves("elsewhere/{start:%Y}.csv")

    def moves(self, path: str) -> None:
        """Write a DAG that only waits, for a delivery under a path."""
        (self.dags / "moves.py").write_text(MOVES.format(name=self.name, path=path))

    def deliver(self, *days: int) -> None:
        """Deliver some days of January 2024."""
        for number in days:
            start = START + timedelta(days=number - 1)
            self.world.deliver_day(number, Interval(start=start, end=start + timedelta(days=1)))

    def days(self, name: str) -> list[int]:
        """Return the days of which there is a current dataset of that name."""
        return [one.interval.start.day for one in current(self.store, self.name, name) if one.interval]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The product."""
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def airflow(shop: Shop, stack_factory: Callable[..., Stack]) -> Stack:
    """A real Airflow on three of the reference pipelines, for this product; predictions wait for a gate to open."""
    settings = {
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
        "MLOPS__PRODUCTS_FOLDERS": str(shop.world.products),
        "MLOPS__ARTIFACT_ROOT": str(shop.world.root),
        "MLOPS__LANDING_ROOT": str(shop.world.landing),
        "MLOPS__POKE_SECONDS": "0.5",
    }
    env = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    return stack_factory(shop.dags, env={**env, "TEST_GATE": str(shop.gate)})


def until(what: str, holds: Callable[[], Any], seconds: float = 400) -> Any:
    """Wait until something holds, and return what it gave."""
    ends = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < ends, f"waited in vain until {what}"
        time.sleep(0.5)
    return found


def engineering(airflow: Stack, shop: Shop, day: int) -> dict[str, Any]:
    """Return the run that works on a day."""
    runs = airflow.api.dag_runs(f"{shop.name}_feature_engineering")
    return next((run for run in runs if run["data_interval_start"][:10] == f"2024-01-{day:02}"), {})


def states(airflow: Stack, dag_id: str) -> Counter[str]:
    """Return how many runs of a DAG are in each state."""
    return Counter(run["state"] for run in airflow.api.dag_runs(dag_id))


def task(airflow: Stack, shop: Shop, day: int, step: str) -> dict[str, Any]:
    """Return a task instance of the run that works on a day."""
    run = engineering(airflow, shop, day)
    found = airflow.api.task_instances(run["dag_id"], run["dag_run_id"])
    return next(one for one in found if one["task_id"].endswith(step))


def test_three_days_at_once_are_all_predicted_and_judged(airflow: Stack, shop: Shop) -> None:
    """Days whose events arrive while one run predicts and another waits are predicted and judged, each once."""
    inference = f"{shop.name}_batch_inference"
    shop.deliver(3)
    until(
        "day 3 is being predicted",
        lambda: [
            t
            for t in airflow.api.task_instances(inference)
            if (t["task_id"], t["state"]) == ("serving.predict", "running")
        ],
    )
    shop.deliver(4, 5)
    until("all are there", lambda: shop.days("loaded") == [1, 2, 3, 4, 5])
    shop.gate.touch()
    until("all are predicted", lambda: shop.days("predictions") == [3, 4, 5])
    until("all are judged", lambda: len(judgements(shop.store, shop.name)) == 3)
    for pipeline in ("batch_inference", "monitoring"):
        until("all is done", lambda one=pipeline: set(states(airflow, f"{shop.name}_{one}")) == {"success"})
    for job in ("predict", "drift", "performance"):
        assert [one.state for one in manifests(shop.world, job)] == ["success"] * 3
        assert not list((shop.world.root / shop.name / job).glob("*/reused"))


def test_a_cleared_day_runs_beside_those_that_wait(airflow: Stack, shop: Shop) -> None:
    """Days 6 and 7 wait for their deliveries; day 4, cleared, is done again meanwhile. No run begins at the end."""
    run = until("day 7 waits", lambda: engineering(airflow, shop, 7).get("state") == "running") and engineering(
        airflow, shop, 4
    )
    dag_id = run["dag_id"]
    airflow.api.post(f"dags/{dag_id}/dagRuns/{run['dag_run_id']}/clear", {"dry_run": False})
    until("it is done again", lambda: engineering(airflow, shop, 4)["state"] == "success" and tried(airflow, shop) == 2)
    assert [engineering(airflow, shop, day)["state"] for day in (6, 7)] == ["running", "running"]
    assert engineering(airflow, shop, 8) == {}


def tried(airflow: Stack, shop: Shop) -> int:
    """Return how often day 4's last task was begun."""
    return int(task(airflow, shop, 4, "load")["try_number"])


def test_days_that_arrive_out_of_order_go_through_in_order(airflow: Stack, shop: Shop) -> None:
    """Day 7, delivered before day 6, waits for it."""
    shop.deliver(7)

    def trigger() -> str:
        waiting = task(airflow, shop, 7, "wait_for_delivery")["trigger"] or {}
        return str(waiting.get("classpath"))

    until("day 7 waits for day 6's run", lambda: trigger().endswith("RunEndsTrigger"))
    shop.deliver(6)
    until("both are through", lambda: {engineering(airflow, shop, day)["state"] for day in (6, 7)} == {"success"})
    before, after = task(airflow, shop, 6, "load"), task(airflow, shop, 7, "extract")
    assert datetime.fromisoformat(before["end_date"]) <= datetime.fromisoformat(after["start_date"])


def woken(airflow: Stack, dag_id: str) -> set[str]:
    """Return the runs of a DAG that events started, not the clock."""
    return {run["dag_run_id"] for run in airflow.api.dag_runs(dag_id) if run["run_type"] == "asset_triggered"}


def test_an_event_by_hand_brings_nothing_that_is_not_on_record(airflow: Stack, shop: Shop) -> None:
    """A forged event wakes the consumers, who find nothing to do and say so."""
    for kind, consumer in (("features", "batch_inference"), ("predictions", "monitoring")):
        dag_id = f"{shop.name}_{consumer}"
        until("all is predicted", lambda: len(judgements(shop.store, shop.name)) == 5)
        until("all is quiet", lambda one=dag_id: set(states(airflow, one)) == {"success"})
        known, made = woken(airflow, dag_id), len(manifests(shop.world, "predict"))
        (asset,) = [one for one in airflow.api.get("assets")["assets"] if one["name"] == f"{shop.name}.{kind}"]
        start = datetime(2023, 1, 1, tzinfo=UTC)
        interval = Interval(start=start, end=start + timedelta(days=1)).to_json()
        forged = {"kind": "dataset", "uri": "file:///etc", "hash": "0" * 64, "interval": interval, "facts": {}}
        extra = {"reference": forged, "features": forged, "version": forged, "crossed": ["all"]}
        airflow.api.post("assets/events", {"asset_id": asset["id"], "extra": extra})
        until("it woke", lambda one=dag_id, before=known: len(woken(airflow, one)) > len(before))
        (run_id,) = woken(airflow, dag_id) - known
        until("it is done", lambda one=dag_id: set(states(airflow, one)) == {"success"})
        skipped = {t["state"] for t in airflow.api.task_instances(dag_id, run_id) if "list_new" in t["task_id"]}
        assert skipped == {"skipped"}
        assert len(manifests(shop.world, "predict")) == made


def test_a_sensor_follows_a_path_that_changes(airflow: Stack, shop: Shop) -> None:
    """A delivery that is to lie elsewhere since the wait began is found there."""
    until("it waits", lambda: [t for t in airflow.api.task_instances("moves") if t["state"] == "deferred"])
    shop.moves("sales/{start:%Y-%m-%d}.csv")
    until("it has looked there", lambda: states(airflow, "moves") == {"success": 1})
