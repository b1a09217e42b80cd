"""A tiny product, models of it and a release pointer, for the tests of the model server."""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd

from airflow_mlops_provider.backends.model_server import releases
from airflow_mlops_provider.backends.models.lightgbm import FLAVOR
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status, status_of
from airflow_mlops_provider.storage.artifacts import content_hash, open_store
from airflow_mlops_provider.storage.ledger import Ledger

NAME = "tiny_shop"
WATERMARK = datetime(2020, 1, 2, tzinfo=UTC)
PRODUCT = """
from datetime import datetime, timezone
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.sections import *
from airflow_mlops_provider.lifecycle.shape import *

RULE = "tiny_shop.code:assemble"
product = MLProduct(
    name="tiny_shop", goal="Will <this> order come back?", problem="binary_classification",
    business=Business(
        kpi=Kpi(name="saved", target=1, unit="USD"), value=Value(per_hit=1),
        owners=Owners(**{role: "someone" for role in Owners.model_fields}),
    ),
    schedule=Schedule(cron="@daily", start=datetime(2020, 1, 1, tzinfo=timezone.utc)),
    data=Data(sources=(), clean=RULE, expectations=RULE),
    features=Features(
        compute=RULE, assemble=RULE, request={"customer": "string", "price": "float64", "pieces": "int64"},
        views=(View(name="customer", keys=("customer",), features={"orders": "int64", "mean_price": "float64"}),),
    ),
    label=Label(column="returned", known_at="known_at", examples=RULE),
    training=Training(trainer=Trainer(code=RULE)), evaluation=EvaluationSettings(gates=Gates(min_metric=0.5)),
)
"""
CODE = """
def assemble(rows):
    made = rows[["price", "pieces", "orders", "mean_price"]].copy()
    made["hour"] = rows["event_time"].dt.hour
    made["known"] = rows["customer"].notna()
    return made.astype("float64")
"""


def make_product(folder: Path) -> MLProduct:
    """Write the product's package into a folder and import it."""
    package = folder / NAME
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "product.py").write_text(PRODUCT)
    (package / "code.py").write_text(CODE)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    product: MLProduct = importlib.import_module(f"{NAME}.product").product
    return product


def make_release(root: Path, version: int, seed: int | None = None) -> releases.Release:
    """Train and store a model as a version that may go live; another seed gives another model."""
    folder = root / NAME / "train" / f"model-{version}"
    make_model(folder, version if seed is None else seed)
    (folder / "manifest.json").write_text(json.dumps({"not": "part of the hash"}))
    made = ModelVersion(name=NAME, version=version, uri=folder.as_uri(), hash=content_hash(folder))
    enter(root, made, Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY)
    return releases.Release.of(made)


INPUTS = ("price", "pieces", "orders", "mean_price", "hour", "known")


def make_model(folder: Path, seed: int, names: Sequence[str] = INPUTS) -> None:
    """Train a model on the first of some inputs and keep its files in a folder."""
    rng = np.random.default_rng(seed)
    inputs = pd.DataFrame(rng.normal(size=(400, len(names))), columns=[*names])
    label = (inputs.iloc[:, 0] + rng.normal(size=400) > 0).astype(int)
    settings = {"objective": "binary", "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": seed}
    FLAVOR.save(lightgbm.train(settings, lightgbm.Dataset(inputs, label), 40), folder)


def enter(root: Path, version: ModelVersion, *moves: Status) -> None:
    """Enter moves of a version into the ledger, as far as it has not made them yet."""
    ledger = Ledger(open_store(str(root)), NAME)
    if status_of(ledger.entries(), version.version) is None or Status.REGISTERED not in moves:
        for to in moves:
            ledger.move(version, to, reason="a test wants it", by="tests")


def make_rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Return JSON rows; one in ten has no customer, one in seven no price."""
    rng = np.random.default_rng(seed)
    return [
        {
            "customer": None if number % 10 == 9 else f"c{number % 50}",
            "price": None if number % 7 == 6 else float(rng.normal()),
            "pieces": int(rng.integers(0, 5)),
            "event_time": f"2020-01-03T{number % 24:02d}:00:00+00:00",
        }
        for number in range(count)
    ]


def request_release(root: Path, release: releases.Release) -> releases.Release:
    """Point the server at a release, asked for now."""
    again = release.model_copy(update={"requested_at": datetime.now(UTC)})
    releases.request(open_store(str(root)), NAME, again)
    return again


class StandInFeatures:
    """Features that are a plain function of the key, with a watermark that a test may move."""

    def __init__(self, watermark: datetime | None = WATERMARK) -> None:
        self.mark, self.broken = watermark, False

    def require_online(self) -> None:
        if self.broken:
            raise OSError("the store is down")

    def online(self, keys: pd.DataFrame) -> pd.DataFrame:
        if self.broken:
            raise OSError("the store is down")
        numbers = keys["customer"].map(lambda key: float(key[1:]) if key else np.nan).astype("float64")
        return pd.DataFrame({"orders": numbers, "mean_price": numbers / 7})

    def online_columns(self, keys: Mapping[str, Sequence[object]]) -> dict[str, np.ndarray]:
        frame = self.online(pd.DataFrame(keys))
        return {name: frame[name].to_numpy() for name in frame}

    def watermark(self) -> datetime | None:
        return self.mark


class HeldFeatures(StandInFeatures):
    """The same, for which whoever asks waits."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answers = threading.Event(), threading.Event()

    def online_columns(self, keys: Mapping[str, Sequence[object]]) -> dict[str, np.ndarray]:
        self.asked.set()
        assert self.answers.wait(20)
        return super().online_columns(keys)


def read_log(folder: Path) -> pd.DataFrame:
    """Return every recorded prediction: the rows' own columns, then prediction, version, request_id, predicted_at."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().split(b"\n")[:-1]]
    records = [json.loads(line) for line in lines]
    frame = pd.DataFrame([{**record.pop("row"), **record} for record in records])
    for column in {"event_time", "predicted_at"}.intersection(frame):
        frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
    return frame


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
