"""A shop with years of history: a small dataset of features for each day, as the feature pipeline would leave it."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.jobs.tables import EXAMPLES
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.dataset_lists import shortened
from tests.factories.record import leave
from tests.factories.shop import SHOPS, ShopWorld

BEGIN = datetime(2016, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


class HistoryWorld(ShopWorld):
    """A shop, and the features of that many days up to the last one.

    :param window: how many of them, the newest ones, a training set takes; the others are its history.
    """

    def __init__(self, folder: Path, days: int, window: int) -> None:
        super().__init__(folder)
        self.days = [Interval(start=BEGIN + timedelta(days=n), end=BEGIN + timedelta(days=n + 1)) for n in range(days)]
        self.window = window
        self.features = self._computed()

    @cached_property
    def store(self) -> FolderStore:
        """The artifact root."""
        return FolderStore(self.root)

    def specify(
        self, job: str, run_id: str = "one", *, params: Any = None, force: bool = False, **given: Any
    ) -> JobSpec:
        """Return what asks for a job on the last day, as its operator makes it."""
        spec = self.spec(
            job,
            interval=self.days[-1],
            params=params or {},
            inputs=shortened(self.store, self.name, given),
            force=force,
        )
        return spec.model_copy(update={"run": spec.run.model_copy(update={"run_id": run_id})})

    def specify_training_set(self, run_id: str = "one", *, force: bool = False) -> JobSpec:
        """Return what asks for a training set of the newest days, in sight of all those before."""
        given = {"features": tuple(self.features[-self.window :]), "history": tuple(self.features[: -self.window])}
        return self.specify("training_set", run_id, params={"evaluate": 1}, force=force, **given)

    def _computed(self) -> list[Dataset]:
        folder = self.root / self.name / "feast"
        FeatureStoreBackend(self.product.shape, folder).apply()
        loaded, compute, features = folder / "offline" / "takings", self.spec("compute"), []
        loaded.mkdir(parents=True)
        for number, day in enumerate(self.days):
            takings = _takings(number, day)
            files = {"takings.parquet": takings, f"{EXAMPLES}.parquet": _examples(number, day)}
            spec = compute.model_copy(update={"interval": day})
            features.append(leave(spec, Dataset, files, interval=day, facts={"rows": {"takings": len(SHOPS)}}))
            # As loading it would write it, without 3,000 waits for the disk; a training set compares the bytes.
            (loaded / f"{day.key}.parquet").write_bytes(takings)
        return features


def _takings(number: int, day: Interval) -> bytes:
    """Return the features of a day, sorted as the store keeps them."""
    means = dict(sorted(zip(SHOPS, _means(number), strict=True)))
    times = pa.array([day.start + timedelta(hours=1)] * len(SHOPS), TIME)
    return _written({"shop": pa.array(means), "event_time": times, "mean_amount": pa.array(means.values())})


def _examples(number: int, day: Interval) -> bytes:
    """Return three questions a day for each shop; the answer follows from its mean."""
    moments = [day.start + timedelta(hours=hour) for hour in (2, 8, 14) for _ in SHOPS]
    much = [int(mean > 50) for mean in _means(number)] * 3
    known = pa.array([moment + timedelta(hours=1) for moment in moments], TIME)
    columns = {"shop": pa.array(SHOPS * 3), "event_time": pa.array(moments, TIME), "much": pa.array(much)}
    return _written({**columns, "known_at": known})


def _means(number: int) -> list[float]:
    return [float((number * 37 + place * 25) % 100) for place in range(len(SHOPS))]


def _written(columns: dict[str, pa.Array]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()
