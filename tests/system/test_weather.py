"""A product in bad weather, in a real Airflow: late, doubled, torn, corrected deliveries, a scheduler killed.

It takes long, so it runs only where ``MLOPS_TEST_WEATHER`` is 1: a CI job does.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.storage.intervals import current, judgements, unjudged, unpredicted
from airflow_mlops_provider.storage.stale import stale
from tests.factories.stack import pids, restart
from tests.factories.tiny import manifests
from tests.factories.weather import CALM, DAY, DELAY, GATE, LATENESS, START, Weather, WeatherWorld

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(os.environ.get("MLOPS_TEST_WEATHER") != "1", reason="takes long: MLOPS_TEST_WEATHER=1 runs it"),
]
DAGS = Path(__file__).parents[2] / "dags"
PIPELINES = ("feature_engineering", "batch_inference", "monitoring")
#: The first days are calm until their truth is there to learn from; then come bad ones, and those delivered at once.
FIRST = CALM + 2
HOSTILE, HEAP = 20, 30
END = FIRST + HOSTILE
#: Three days that come with the last of them; the days that are corrected, with the day of that; when a scheduler dies.
MISSING = (10, 11, 12)
CORRECTED = {7: 9, 15: 16, 17: 20}
KILLS = (9, 17)
SETTLE = 2


class Shop:
    """A product with a version live since its first, calm days, and the oracle that got everything whole, at once."""

    def __init__(self, folder: Path) -> None:
        weather = Weather(END + HEAP, missing=MISSING, corrected=CORRECTED)
        # What is delivered at once is predicted once: no late row changes it.
        calm = (*range(FIRST), *range(END - LATENESS, END + HEAP))
        weather.orders |= {day: weather.calm.orders[day] for day in calm}
        end = f", end=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days={END + HEAP})"
        self.world = WeatherWorld(folder / "hostile", weather, settle=SETTLE, gate=GATE, end=end)
        self.calm = WeatherWorld(folder / "calm", weather.calm, gate=GATE, end=end)
        self.store, self.name = self.world.store, self.world.name
        for world, days in ((self.world, FIRST), (self.calm, END + HEAP)):
            with world.here():
                for day in range(days):
                    world.deliver_day(day, corrected=True)
                time.sleep(SETTLE + 0.1)
                for day in range(days):
                    world.engineer(day)
                world.go_live(world.training_set(0, 2))
        with self.calm.here():
            self.calm.predict()
        declared = (self.world.package / "product.py").read_text()
        start = f"start=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days={FIRST})"
        self.world.write("product.py", declared.replace("start=datetime(2024, 1, 1, tzinfo=UTC)", start))
        self.gate, self.dags = folder / "gate", folder / "dags"
        self.gate.touch()
        self.dags.mkdir()
        for pipeline in PIPELINES:
            shutil.copy(DAGS / f"{pipeline}.py", self.dags)

    def days(self, name: str) -> list[int]:
        """Return the days of which there is a current dataset of that name."""
        return [*by_day(self.world, name)]

    def tear(self, day: int) -> None:
        """Write half of what will be a day's orders: whoever reads it now reads too little."""
        lines, _ = self.world.weather.of_day(day, corrected=False)
        file = self.world.landing / "orders" / f"{START + day * DAY:%Y-%m-%d}.csv"
        file.write_text("\n".join(["order,shop,amount,at", *lines[: len(lines) // 2], ""]))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The product."""
    made = Shop(tmp_path_factory.mktemp("weather"))
    yield made
    made.world.close()
    made.calm.close()


@pytest.fixture(scope="module")
def airflow(shop: Shop, stack_factory: Callable[..., Stack]) -> Stack:
    """A real Airflow on three of the pipelines. A run that is cleared needs a place beside all that wait for data."""
    settings = {
        "CORE__MAX_ACTIVE_RUNS_PER_DAG": "100",
        "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "MLOPS__RETRY_SECONDS": "1",
        "MLOPS__PRODUCTS_FOLDERS": str(shop.world.products),
        "MLOPS__ARTIFACT_ROOT": str(shop.world.root),
        "MLOPS__LANDING_ROOT": str(shop.world.landing),
        "MLOPS__POKE_SECONDS": "1",
    }
    env = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    return stack_factory(shop.dags, env={**env, "TEST_GATE": str(shop.gate)})


def by_day(world: WeatherWorld, name: str) -> dict[int, Dataset]:
    """Return the current datasets of some name by day."""
    datasets = current(world.store, world.name, name)
    return {(data.interval.start - START).days: data for data in datasets if data.interval}


def table(dataset: Dataset, name: str) -> Any:
    """Return a dataset's table."""
    import pandas as pd

    return pd.read_parquet(Path(dataset.uri.removeprefix("file://")) / f"{name}.parquet")


def until(what: str, holds: Callable[[], Any], seconds: float = 900) -> Any:
    """Wait until something holds, and return what it gave."""
    ends = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < ends, f"waited in vain until {what}"
        time.sleep(0.5)
    return found


def engineering(airflow: Stack, shop: Shop) -> dict[int, dict[str, Any]]:
    """Return the runs that make features, by day."""
    runs = airflow.api.dag_runs(f"{shop.name}_feature_engineering")
    of = {run["data_interval_start"][:10]: run for run in runs}
    return {day: of[text] for day in range(END + HEAP) if (text := f"{START + day * DAY:%Y-%m-%d}") in of}


def at_rest(airflow: Stack, shop: Shop, last: int) -> bool:
    """Tell whether every day up to the last is done and nothing is left to be made again or predicted."""
    if shop.days("loaded") != [*range(last + 1)] or stale(shop.store, shop.name):
        return False
    runs = engineering(airflow, shop)
    assert "failed" not in {run["state"] for run in runs.values()}
    return all(runs[day]["state"] == "success" for day in range(FIRST, last + 1)) and not unpredicted(
        shop.store, shop.name
    )


def differs(shop: Shop, read: Dataset, day: int) -> bool:
    """Tell whether a day's sources were read again, and gave something else."""
    return by_day(shop.world, "raw")[day].hash != read.hash


def kill_scheduler(airflow: Stack) -> None:
    """Kill the scheduler and whatever it runs, as a machine that loses power would, and start another."""
    scheduler = psutil.Process(pids(airflow)["scheduler"])
    for process in (scheduler, *scheduler.children()):
        process.kill()
    restart(airflow, "scheduler", timeout=120)


def pass_day(airflow: Stack, shop: Shop, day: int) -> None:
    """Deliver what comes on a day, in the way that it comes, and let Airflow do what there is to do."""
    if day in MISSING[:-1]:
        return
    for it in MISSING if day == MISSING[-1] else [day]:
        shop.tear(it)
        time.sleep(0.5)
        shop.world.deliver_day(it, corrected=CORRECTED.get(it, END) <= day)
    if day in KILLS:
        until("the day is begun", lambda: day in shop.days("raw"))
        kill_scheduler(airflow)
    until(f"day {day} is done", lambda: at_rest(airflow, shop, day))
    for it in [it for it, when in CORRECTED.items() if when == day]:
        read = by_day(shop.world, "raw")
        shop.world.deliver_day(it, corrected=True)
        run = engineering(airflow, shop)[it]
        airflow.api.post(f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/clear", {"dry_run": False})
        until(f"day {it} is read again", partial(differs, shop, read[it], it))
        until(f"day {it} is done again", lambda: at_rest(airflow, shop, day))


def pause_monitoring(airflow: Stack, shop: Shop, *, pause: bool) -> None:
    """Let monitoring wait: each day that passes would have it judge the twenty days before again."""
    airflow.api.call("PATCH", f"dags/{shop.name}_monitoring", body={"is_paused": pause})


def judged(airflow: Stack, shop: Shop) -> bool:
    """Tell whether monitoring is through."""
    runs = airflow.api.dag_runs(f"{shop.name}_monitoring")
    waiting = unjudged(shop.store, shop.name, shop.world.product.label)
    return not waiting and {run["state"] for run in runs} == {"success"}


def last_reports(shop: Shop) -> dict[int, Manifest]:
    """Return the manifest by which each day's predictions were judged last."""
    return {
        (manifest.spec.interval.start - START).days: manifest
        for manifest in sorted(manifests(shop.world, "performance"), key=lambda one: one.ended)
        if manifest.spec.interval
    }


def same_as_the_oracle(shop: Shop, last: int) -> None:
    """Compare all tables of all days with those of the world in which everything came whole and at once."""
    from pandas.testing import assert_frame_equal

    tables = {"clean": ("orders", "returns"), "features": ("takings", "examples"), "predictions": ("predictions",)}
    for name, each in tables.items():
        mine, calm = by_day(shop.world, name), by_day(shop.calm, name)
        assert [*mine] == [day for day in calm if day <= last]
        for day, dataset in mine.items():
            for it in each:
                assert_frame_equal(table(dataset, it), table(calm[day], it))


def performance_is_of_what_was_said(shop: Shop, last: int) -> None:
    """Compare what monitoring told of each day with the labels that have arrived and what was said first."""
    from sklearn.metrics import roc_auc_score

    reports, measured = last_reports(shop), 0
    assert [*sorted(reports)] == shop.days("predictions")
    for day, dataset in by_day(shop.world, "predictions").items():
        result, truth = reports[day].result, shop.world.weather.truth(day, min(day + DELAY, last))
        assert result is not None
        assert result.facts["arrived"] == len(truth)
        assert result.facts["arrived"] + result.facts["pending"] == len(shop.world.weather.orders[day])
        if metric := result.facts["metric"]:
            said = first_said(dataset)
            assert metric["value"] == pytest.approx(roc_auc_score([*truth.values()], [said[it] for it in truth]))
            measured += 1
    assert measured > 0


def first_said(dataset: Dataset) -> dict[str, float]:
    """Return what was said first of each order: predictions that replaced others keep these beside."""
    folder, said = Path(dataset.uri.removeprefix("file://")), dict[str, float]()
    for name in ("said", "predictions"):
        if (folder / f"{name}.parquet").exists():
            rows = table(dataset, name)
            said = {**dict(zip(rows["order"], rows["prediction"], strict=True)), **said}
    return said


def test_bad_weather_ends_in_what_a_calm_world_has(airflow: Stack, shop: Shop) -> None:
    """Twenty bad days and two dead schedulers later all is as the oracle has it, and no run has failed."""
    began = time.monotonic()
    until("the pipelines are known", lambda: len(airflow.api.get("dags")["dags"]) == len(PIPELINES))
    pause_monitoring(airflow, shop, pause=True)
    for day in range(FIRST, END):
        pass_day(airflow, shop, day)
        print(f"day {day}: {time.monotonic() - began:.0f} s")
    pause_monitoring(airflow, shop, pause=False)
    airflow.api.trigger(f"{shop.name}_monitoring")
    until("all is judged", lambda: judged(airflow, shop))
    same_as_the_oracle(shop, END - 1)
    performance_is_of_what_was_said(shop, END - 1)
    tries = airflow.api.task_instances(f"{shop.name}_feature_engineering")
    done = {t["dag_run_id"]: t["try_number"] for t in tries if t["task_id"].endswith("extract") and t["state"]}
    print(f"{time.monotonic() - began:.0f} s for {HOSTILE} days; runs were begun so often: {sum(done.values())}")


def test_a_heap_of_days_is_predicted_and_judged_once_and_in_order(airflow: Stack, shop: Shop) -> None:
    """Days delivered at once while predictions wait go through in order; each is predicted once, and judged."""
    began, heap = time.monotonic(), [*range(END, END + HEAP)]
    shop.gate.unlink()
    for day in heap:
        shop.world.deliver_day(day, corrected=True)
    until("all are there", lambda: shop.days("loaded") == [*range(END + HEAP)], 3000)
    shop.gate.touch()
    until("all is done", lambda: at_rest(airflow, shop, heap[-1]))
    until("all is judged", lambda: judged(airflow, shop), 3000)
    predicted = Counter(days_of(manifests(shop.world, "predict")))
    assert {day: predicted[day] for day in heap} == dict.fromkeys(heap, 1)
    assert {(one.observation.interval.start - START).days for one in judgements(shop.store, shop.name)} >= {*heap}
    loads = sorted(manifests(shop.world, "load"), key=lambda one: one.started)
    assert [day for day in days_of(loads) if day in heap] == heap
    judging = manifests(shop.world, "performance")
    assert {one.state for one in judging} == {"success"}
    same_as_the_oracle(shop, heap[-1])
    performance_is_of_what_was_said(shop, heap[-1])
    print(f"{time.monotonic() - began:.0f} s for the heap; judged {Counter(days_of(judging))}")


def days_of(made: list[Manifest]) -> list[int]:
    """Return the days that jobs worked on."""
    return [(one.spec.interval.start - START).days for one in made if one.spec.interval]
