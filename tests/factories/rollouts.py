"""Rollouts beside a live version that is called all the time: who was answered what, by which version, how fast."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pandas as pd

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status, last_entries
from airflow_mlops_provider.storage.artifacts import content_hash
from airflow_mlops_provider.storage.intervals import FEATURES, publish
from tests.factories.deploy import DeployWorld
from tests.factories.serving import NAME

#: Short enough for a test; a product's own takes hours.
PLAN: dict[str, Any] = {
    "shadow": "PT2S",
    "canary": 0.5,
    "bake": "PT3S",
    "calls": 400,
    "within": "PT100S",
    "limits": {"start": "PT8S", "memory": 100, "metric": 0.05},
}


class Call(NamedTuple):
    """A call and how it was answered."""

    row: dict[str, Any]
    status: int
    version: int | None
    seconds: float
    at: float


class RolloutWorld(DeployWorld):
    """A product that declares a rollout; ``calls`` is what its callers got."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        self.plan = PLAN
        self.calls: list[Call] = []

    def spec(self, job: str, who: str = "one", **params: Any) -> JobSpec:
        """Return what is to be done, with the rollout among its settings."""
        spec = super().spec(job, who, **params)
        return spec.model_copy(update={"settings": {**spec.settings, "rollout": self.plan}})

    @contextmanager
    def called(self, threads: int = 3, customers: int = 60) -> Iterator[list[Call]]:
        """Have the server called until this is left, as fast as it answers, but for a moment's pause each time."""
        ending, self.calls = threading.Event(), []

        def call(number: int) -> None:
            choose = random.Random(number)
            with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as client:
                while not ending.wait(0.01):
                    row = {"customer": f"c{choose.randrange(customers)}", "price": choose.gauss(0, 1), "pieces": 2}
                    row["event_time"] = "2020-01-03T10:00:00Z"
                    begun = time.monotonic()
                    answer = client.post("/predict", json={"rows": [row]})
                    took, now = time.monotonic() - begun, time.monotonic()
                    version = answer.json().get("version")
                    self.calls.append(Call(row, answer.status_code, version, took, now))

        callers = [threading.Thread(target=call, args=(number,)) for number in range(threads)]
        for caller in callers:
            caller.start()
        try:
            yield self.calls
        finally:
            ending.set()
            for caller in callers:
                caller.join(40)

    def roll_out(self, version: ModelVersion, seconds: float = 90, **params: Any) -> str:
        """Look at a version's rollout again and again, as its task does, until it has ended; return the status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            told = self.deploy(version, **params)
            assert told.state == "success" and told.result is not None, told.failure
            status = str(told.result.facts["status"])
            if status not in ("shadow", "canary"):
                return status
            time.sleep(0.5)
        raise AssertionError(f"the rollout has not ended: {self.last(version)}")

    def label(self, calls: list[Call]) -> None:
        """Make the truth of calls known: an order of a high price comes back."""
        rows = pd.DataFrame([call.row for call in calls])
        rows = rows.assign(event_time=pd.to_datetime(rows["event_time"], utc=True), returned=rows["price"] > 0)
        rows["known_at"] = datetime.now(UTC)
        folder = self.root / NAME / "compute" / f"{1:032x}" / f"{1:016x}"
        folder.mkdir(parents=True)
        rows.astype({"returned": "int64"}).to_parquet(folder / "examples.parquet")
        now = datetime.now(UTC)
        day = Interval(start=now - timedelta(days=1), end=now + timedelta(hours=1))
        publish(self.store, NAME, FEATURES, Dataset(uri=folder.as_uri(), hash=content_hash(folder), interval=day))

    def last(self, version: ModelVersion) -> Any:
        """Return a version's last entry in the ledger."""
        return last_entries(self.ledger.entries())[version.version]

    def phases(self, version: ModelVersion) -> list[Status]:
        """Return which statuses a version has had."""
        return [entry.status for entry in self.ledger.entries() if entry.version.version == version.version]
