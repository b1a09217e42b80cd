"""Acme's parts keep what the provider's contracts ask; run by pytest where the distribution is installed."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import acme_mlops
import numpy as np
import pandas as pd
import pytest
from acme_mlops.flavor import Line
from acme_mlops.model_server import FileEndpoint
from acme_mlops.place import Here
from acme_mlops.stream import TABLE, TableStreams
from acme_mlops.validator import Rule

from airflow_mlops_provider import ModelVersion, Serving
from airflow_mlops_provider.backends.model_server.base import ModelServer, Served, ServerCode
from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.backends.streams.base import Address
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Shape, View
from airflow_mlops_provider.places.base import Place
from airflow_mlops_provider.storage.artifacts import ArtifactStore, content_hash, open_store
from airflow_mlops_provider.testing import (
    ArtifactStoreContract,
    DriftMethodContract,
    FlavorContract,
    JobContract,
    ModelServerContract,
    PlaceContract,
    ProblemContract,
    StreamServerContract,
    ValidatorContract,
)


class TestTableStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return open_store(f"acme-table://{tmp_path}/root.db")


class TestMeans(FlavorContract):
    flavor = "acme_means"

    @pytest.fixture
    def features(self) -> pd.DataFrame:
        return pd.DataFrame({"hour": [1.0, 5.0, 9.0, 13.0, np.nan], "wind": [0.1, 0.3, np.nan, 0.9, 0.2]})

    @pytest.fixture
    def model(self, features: pd.DataFrame) -> Any:
        return Line({"hour": 0.3, "wind": -1.7}, 2.0)


class TestRules(ValidatorContract):
    validator = "acme_rules"

    @pytest.fixture
    def table(self) -> pd.DataFrame:
        return pd.DataFrame({"amount": [1.0, 2.0]})

    @pytest.fixture
    def kept(self) -> list[Any]:
        return [Rule("amounts are positive", lambda table: (table["amount"] > 0).all())]

    @pytest.fixture
    def broken(self) -> list[Any]:
        return [Rule("amounts are small", lambda table: (table["amount"] < 2).all())]


class TestTableStreams(StreamServerContract):
    @pytest.fixture
    def server(self, tmp_path: Path) -> TableStreams:
        return TableStreams(Address(str(tmp_path), None, None, None, {}))

    @pytest.fixture
    def add(self, tmp_path: Path) -> Callable[[Mapping[str, str]], None]:
        return lambda fields: change(
            tmp_path, "INSERT INTO entries (at, fields) VALUES (?, ?)", time.time(), json.dumps(fields)
        )

    @pytest.fixture
    def give_up(self, tmp_path: Path) -> Callable[[int], None]:
        oldest = "DELETE FROM entries WHERE number IN (SELECT number FROM entries ORDER BY number LIMIT ?)"
        return lambda count: change(tmp_path, oldest, count)


def change(folder: Path, statement: str, *values: Any) -> None:
    """Change the table of the stream of orders."""
    with closing(sqlite3.connect(folder / "orders.db")) as table, table:
        table.execute(TABLE)
        table.execute(statement, values)


class TestMoments(DriftMethodContract):
    drift_method = "acme_moments"


class TestAmount(ProblemContract):
    problem = "acme_amount"

    @pytest.fixture
    def labels(self) -> pd.Series:
        return pd.Series([1.0, 2.0, 4.0, 8.0, 16.0], name="amount")

    @pytest.fixture
    def scores(self) -> np.ndarray:
        return np.array([1.5, 2.0, 3.0, 9.0, 12.0])


def splitting(folder: Path) -> JobSpec:
    """Return what asks for the job, on four rows of a store of Acme's."""
    times = pd.date_range("2024-01-01", periods=4, tz="UTC")
    made = folder / "made"
    made.mkdir()
    pd.DataFrame({"event_time": times, "shop": "north", "amount": range(4)}).to_parquet(made / "examples.parquet")
    pd.DataFrame({"event_time": times, "shop": "north", "mean": 0.5}).to_parquet(made / "takings.parquet")
    store = open_store(f"acme-table://{folder}/root.db")
    store.upload(made, "shop/mine/1")
    shape = Shape(
        name="shop",
        problem="acme_amount",
        views=(View(name="takings", keys=("shop",), features={"mean": "float64"}),),
        request={"shop": "string"},
        label=LabelColumns(column="amount", known_at="known_at"),
    )
    return JobSpec(
        job="split_by_time",
        product="shop",
        inputs={"features": Dataset(uri=f"{store.uri}/shop/mine/1", hash=content_hash(made))},
        settings={"shape": shape.to_json()},
        root=store.uri,
        services=Services(landing=str(folder), mlflow=f"sqlite:///{folder}/mlflow.db"),
    )


class TestSplitByTime(JobContract):
    @pytest.fixture
    def spec(self, tmp_path: Path) -> JobSpec:
        return splitting(tmp_path)


class TestHere(PlaceContract):
    @pytest.fixture
    def place(self) -> Place:
        return Here()

    @pytest.fixture
    def spec(self, tmp_path: Path) -> JobSpec:
        return splitting(tmp_path)

    @pytest.fixture
    def failing(self, tmp_path: Path) -> JobSpec:
        return splitting(tmp_path).model_copy(update={"params": {"share": "much"}})


class TestFileEndpoint(ModelServerContract):
    @pytest.fixture
    def server(self, tmp_path: Path) -> ModelServer:
        store, log = open_store(str(tmp_path)), tmp_path / "log"
        serving = Serving(target="acme_file", options={"folder": str(tmp_path)})
        made = {"product": "shop", "root": str(tmp_path), "store": store, "serving": serving, "log": log}
        return FileEndpoint(Served(**made, connected=None, port=None, code_of=lambda _: ServerCode("", ())))

    def release(self, folder: Path, number: int) -> Release:
        return Release.of(ModelVersion(name="shop", version=number, uri=(folder / str(number)).as_uri(), hash="0" * 64))

    @pytest.fixture
    def releases(self, tmp_path: Path) -> tuple[Release, Release]:
        for number in (1, 2):
            (tmp_path / str(number)).mkdir()
        return self.release(tmp_path, 1), self.release(tmp_path, 2)

    @pytest.fixture
    def broken(self, tmp_path: Path) -> Release:
        return self.release(tmp_path, 3)


def test_what_runs_is_what_was_installed() -> None:
    """And not the source beside these tests."""
    assert "src" not in Path(acme_mlops.__file__).parts
