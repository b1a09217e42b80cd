"""A product whose data come late, twice, corrected, in heaps or not at all, beside one that saw everything at once.

``MLOPS_TEST_DAYS`` says how many days of it: a CI job takes 120.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.storage.intervals import current
from airflow_mlops_provider.storage.stale import stale
from tests.factories.weather import CALM, DELAY, START, Weather, WeatherWorld

pytestmark = pytest.mark.timeout(3000)
DAYS = int(os.environ.get("MLOPS_TEST_DAYS", "14"))
#: The days that one delivery brings at last, and the days that are corrected, with the day of that.
MISSING = tuple(range(10, 17) if DAYS > 20 else range(8, 11))
CORRECTED = {day: day + 1 + day % 5 for day in range(CALM + 1, DAYS - 6, 6)}
#: A model learns of these.
LEARNED = (0, 2)


class Both:
    """The two worlds, once the last day has passed.

    :ivar reports: what was told of each day's predictions, the last time.
    """

    def __init__(self, folder: Path) -> None:
        weather = Weather(DAYS, missing=MISSING, corrected=CORRECTED)
        self.weather = weather
        self.hostile, self.calm = WeatherWorld(folder / "hostile", weather), WeatherWorld(folder / "calm", weather.calm)
        self.reports: dict[int, Report] = {}
        with self.hostile.here():
            for day in range(DAYS):
                self.pass_day(day)
            self.reports |= self.hostile.judge()
        with self.calm.here():
            for day in range(DAYS):
                self.calm.deliver_day(day, corrected=True)
                self.calm.engineer(day)
            self.calm.go_live(self.calm.training_set(*LEARNED))
            self.calm.predict()

    def pass_day(self, day: int) -> None:
        """Deliver what comes on a day, and let the pipelines do what there is to do."""
        arrive = [] if day in MISSING[:-1] else [*MISSING] if day == MISSING[-1] else [day]
        for it in arrive:
            self.hostile.deliver_day(it, corrected=CORRECTED.get(it, DAYS) <= day)
            self.hostile.engineer(it)
        for it, when in CORRECTED.items():
            if when == day and it not in arrive and (it not in MISSING or day > MISSING[-1]):
                self.hostile.deliver_day(it, corrected=True)
                self.hostile.engineer(it)
        self.hostile.remake()
        if day == CALM + 1:
            self.hostile.go_live(self.hostile.training_set(*LEARNED))
        if day > CALM and day not in MISSING[:-1]:
            self.hostile.predict()
        if day % 10 == 9:
            self.reports |= self.hostile.judge()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The two worlds."""
    made = Both(tmp_path_factory.mktemp("weather"))
    yield made
    made.hostile.close()
    made.calm.close()


def by_day(world: WeatherWorld, name: str) -> dict[int, Dataset]:
    """Return the current datasets of some name by day."""
    return {
        (data.interval.start - START).days: data for data in current(world.store, world.name, name) if data.interval
    }


def table(dataset: Dataset, name: str) -> pd.DataFrame:
    """Return a dataset's table."""
    return pd.read_parquet(Path(dataset.uri.removeprefix("file://")) / f"{name}.parquet")


@pytest.mark.parametrize("name", ["clean", "features", "predictions"])
def test_in_the_end_all_is_as_if_it_had_come_at_once(both: Both, name: str) -> None:
    """Clean tables, features and predictions of each day are the same rows."""
    hostile, calm = by_day(both.hostile, name), by_day(both.calm, name)
    first = LEARNED[1] + 1 if name == "predictions" else 0
    assert [*hostile] == [*calm] == [*range(first, DAYS)]
    tables = {
        "clean": ("orders", "returns"),
        "features": ("takings", "examples"),
        "predictions": ("predictions", "inputs"),
    }
    for day in hostile:
        for each in tables[name]:
            pd.testing.assert_frame_equal(table(hostile[day], each), table(calm[day], each))
        if name == "features":
            assert hostile[day].hash == calm[day].hash


def test_the_store_and_a_training_set_are_the_same(both: Both) -> None:
    """What is joined from the feature store, with labels as they are known now, is byte for byte the same."""
    sets = []
    for world in (both.hostile, both.calm):
        with world.here():
            sets.append(world.training_set(CALM, max(CALM + 4, DAYS - DELAY // 2)))
    assert sets[0].hash == sets[1].hash
    assert sets[0].facts["rows"]["evaluate"] > 0


def test_nothing_is_stale_and_little_was_made_twice(both: Both) -> None:
    """What was made anew was made anew for a reason: not every day."""
    assert stale(both.hostile.store, both.hostile.name) == []
    assert max(both.calm.remade.values()) == 1
    assert DAYS < sum(both.hostile.remade.values()) < 3.5 * DAYS


def test_every_row_is_accounted_for(both: Both) -> None:
    """Rows that came late are counted where they came and where they went; none was left out."""
    raw = by_day(both.hostile, "raw")
    assert all("left_out" not in data.facts for data in raw.values())
    late = sum(data.facts.get("late", {}).get("orders", {}).get("rows", 0) for data in raw.values())
    taken = sum(data.facts.get("taken", {}).get("orders", {}).get("rows", 0) for data in raw.values())
    comes = [(day, after) for day, orders in both.weather.orders.items() for order in orders for after in order.comes]
    came_late = sum(bool(after) for _, after in comes)
    assert late == taken == came_late > 0


def test_performance_is_that_of_what_was_said(both: Both) -> None:
    """Each day's metric is that of the first predictions, with the labels that have arrived by the end of its delay."""
    from sklearn.metrics import roc_auc_score

    assert [*sorted(both.reports)] == [*range(LEARNED[1] + 1, DAYS)]
    judged = 0
    for day, report in both.reports.items():
        truth = both.weather.truth(day, min(day + DELAY, DAYS - 1))
        assert report.facts["arrived"] == len(truth)
        assert report.facts["arrived"] + report.facts["pending"] == len(both.weather.orders[day])
        if metric := report.facts["metric"]:
            said = [both.hostile.said[order] for order in truth]
            assert metric["value"] == pytest.approx(roc_auc_score([*truth.values()], said), abs=1e-9)
            judged += 1
    assert judged >= DAYS // 8


def test_a_second_prediction_does_not_count(both: Both) -> None:
    """Corrected days were predicted again, from other inputs; what had been said first is kept beside."""
    again = [day for day, data in by_day(both.hostile, "predictions").items() if "said" in tables_of(data)]
    sundays = {day for day in CORRECTED if not both.weather.orders[day]}  # there was nothing to correct
    assert {*CORRECTED} - {*MISSING} - sundays <= {*again}
    differing = 0
    for day, data in by_day(both.hostile, "predictions").items():
        if day in again:
            said = table(data, "said").drop_duplicates("order").set_index("order")["prediction"]
            differing += int(
                (said != table(data, "predictions").set_index("order")["prediction"].reindex(said.index)).any()
            )
            assert all(both.hostile.said[order] == value for order, value in said.items())
    assert differing > 0


def tables_of(dataset: Dataset) -> set[str]:
    """Return the names of a dataset's tables."""
    return {file.stem for file in Path(dataset.uri.removeprefix("file://")).glob("*.parquet")}
