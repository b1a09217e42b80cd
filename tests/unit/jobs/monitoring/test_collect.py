"""What servers answered over REST is collected as it was said, and its drift is seen by version."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.model_server.launcher import log_folder
from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.jobs.tables import INPUTS, PREDICTIONS, REFERENCE
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion
from airflow_mlops_provider.serving.prediction_log import Batch, PredictionLog, row_ids
from tests.factories.shop import DAYS, START, ShopWorld

WEEK = [Interval(start=START + timedelta(days=n), end=START + timedelta(days=n + 1)) for n in range(9, 16)]
ROWS = 60


class Served(ShopWorld):
    """A product whose versions answered; what was said is kept as callers got it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.version = self.learn()
        self.logs = log_folder(str(self.root), self.name)
        self.said: dict[str, tuple[datetime, float, float, int]] = {}

    def another(self) -> ModelVersion:
        """Make another version of the same days."""
        data = self.job("training_set", DAYS[-1], {"evaluate": 1}, features=tuple(map(self.engineer, DAYS)))
        model = self.job("train", DAYS[-1], {"settings": {"num_leaves": 3}}, training_set=data)
        evaluation = self.job("evaluate", DAYS[-1], model=model, training_set=data)
        why = {"cause": "first", "reason": "first"}
        version = self.job("register", params=why, model=model, evaluation=evaluation)
        assert isinstance(version, ModelVersion) and version.version == 2
        return version

    def inputs(self, version: ModelVersion) -> pd.DataFrame:
        """Return what a version learned from."""
        table = pd.read_parquet(Path(version.uri.removeprefix("file://")) / f"{REFERENCE}.parquet")
        return table.drop(columns="prediction").sample(ROWS, random_state=len(self.said), ignore_index=True)

    def answer(self, log: PredictionLog, at: datetime, version: int = 1, shift: float = 0.0) -> None:
        """Have a server say something, and record it."""
        inputs, call = self.inputs(self.version), f"call-{len(self.said)}"
        inputs["mean_amount"] += shift
        rows = pd.DataFrame({"shop": ["north"] * ROWS, "event_time": pd.Series([at] * ROWS)})
        predictions = np.linspace(0, 1, ROWS).tolist()
        kept = [Columns.of(frame).plain() for frame in (rows, inputs)]
        assert log.append(Batch(*kept, predictions, version, call, at))
        for own, amount, prediction in zip(row_ids(call, ROWS), amounts(inputs), predictions, strict=True):
            self.said[own] = at, amount, prediction, version

    def collected(self, day: Interval) -> Dataset:
        """Collect an interval."""
        dataset = self.job("collect", day)
        assert isinstance(dataset, Dataset)
        return dataset

    def read(self, dataset: Dataset, table: str) -> pd.DataFrame:
        """Return one of its tables."""
        return pd.read_parquet(Path(dataset.uri.removeprefix("file://")) / f"{table}.parquet")


def amounts(inputs: pd.DataFrame) -> list[float | None]:
    """Return an input's values, None for one that is missing."""
    return [None if pd.isna(value) else value for value in inputs.get("mean_amount", ())]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Served]:
    """A product with a version."""
    served = Served(tmp_path)
    yield served
    served.close()


def test_a_week_of_two_servers_and_two_versions(world: Served) -> None:
    """Each interval has what callers got in it, by id, once; torn, foreign and doubled lines are counted."""
    logs = [PredictionLog(world.logs), PredictionLog(world.logs)]
    for number, day in enumerate(WEEK[:6]):  # nobody called on the seventh
        for hour, log in ((3, logs[0]), (11, logs[1])):
            world.answer(log, day.start + timedelta(hours=hour), version=1 if number < 3 or hour < 4 else 2)
    for log in logs:
        log.close()
    first = min(world.logs.glob(f"{WEEK[0].start:%Y-%m-%d}.*"))
    whole = first.read_bytes()
    torn = whole.splitlines()[0][:40]
    first.write_bytes(whole + whole.splitlines()[0] + b"\n" + b'{"id": 1}\n' + torn)
    for day in WEEK:
        dataset = world.collected(day)
        table, inputs = world.read(dataset, PREDICTIONS), world.read(dataset, INPUTS)
        assert [*table] == ["id", "shop", "event_time", "prediction", "version", "predicted_at"]
        known = {own: said for own, said in world.said.items() if said[0] in day}
        columns = (table["predicted_at"], amounts(inputs), table["prediction"], table["version"])
        assert dict(zip(table["id"], zip(*columns, strict=True), strict=True)) == known
        assert dataset.facts["rows"] == len(known)
        broken = day == WEEK[0]
        assert (dataset.facts["unreadable"], dataset.facts["again"]) == ({first.name: 2} if broken else {}, int(broken))
    assert dataset.facts["files"] == {}
    assert world.collected(WEEK[4]).facts["versions"] == {"1": ROWS, "2": ROWS}
    again = world.collected(WEEK[0])
    assert set(again.facts["files"]) == {path.name for path in world.logs.glob(f"{WEEK[0].start:%Y-%m-%d}.*")}


def test_drift_of_what_was_served_is_seen_by_version(world: Served) -> None:
    """Of one interval in which two versions answered, that one has drifted whose inputs moved."""
    log = PredictionLog(world.logs)
    for hour in range(6):
        world.answer(log, WEEK[0].start + timedelta(hours=hour))
        world.answer(log, WEEK[0].start + timedelta(hours=hour), version=2, shift=1000.0)
    log.close()
    dataset, other = world.collected(WEEK[0]), world.another()
    seen = [world.job("drift", WEEK[0], predictions=dataset, version=version) for version in (world.version, other)]
    assert [report.facts["version"] for report in seen] == [1, 2]
    assert [report.facts["drifted"] for report in seen] == [[], ["mean_amount"]]
