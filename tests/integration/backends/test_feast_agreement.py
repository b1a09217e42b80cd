"""Whether the feature store says the same offline and online: found out by looking, on the real Feast."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from airflow_mlops_provider.backends.feature_store.feast.agreement import compare
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.exceptions import BackendError, SourceError
from tests.factories.shop import DAYS, SHOPS, ShopWorld


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopWorld]:
    """Two days, loaded."""
    world = ShopWorld(tmp_path_factory.mktemp("shop"))
    for day in DAYS:
        world.engineer(day)
    yield world
    world.close()


@pytest.fixture
def store(shop: ShopWorld) -> FeatureStoreBackend:
    """The shop's feature store."""
    return FeatureStoreBackend(shop.product.shape, shop.root / shop.name / "feast")


def test_what_was_loaded_agrees(store: FeatureStoreBackend) -> None:
    """Each shop's mean, and nothing was written by looking."""
    before = {file: file.stat().st_mtime_ns for file in store.folder.rglob("*")}
    assert compare(store) == (len(SHOPS), [])
    assert {file: file.stat().st_mtime_ns for file in store.folder.rglob("*")} == before


def test_a_value_that_differs_is_named(store: FeatureStoreBackend) -> None:
    """By view, feature and entity, with both values."""
    (*_, newest) = store.offline.files("takings")
    kept = newest.read_bytes()
    rows = pd.read_parquet(newest)
    last = rows[rows["shop"] == "north"].index[-1]
    rows.loc[last, "mean_amount"] = -7.5
    rows.to_parquet(newest)
    count, (line,) = compare(store)
    newest.write_bytes(kept)
    assert count == len(SHOPS)
    assert "takings.mean_amount of {'shop': 'north'} is -7.5 offline" in line


def test_a_store_that_lost_its_rows_is_no_store_that_agrees(store: FeatureStoreBackend) -> None:
    """Emptied, gone, or without the offline half: an error says so."""
    online, offline = store.folder / "online.db", store.offline.folder
    kept = online.read_bytes()
    with closing(sqlite3.connect(online)) as database, database:
        (table,) = database.execute("select name from sqlite_master where type = 'table'").fetchall()[0]
        database.execute(f'delete from "{table}"')
    with pytest.raises(BackendError, match="lost"):
        compare(FeatureStoreBackend(store.shape, store.folder))
    online.write_bytes(kept)
    offline.rename(offline.with_name("away"))
    with pytest.raises(SourceError, match="takings"):
        compare(FeatureStoreBackend(store.shape, store.folder))
    offline.with_name("away").rename(offline)


def test_before_anything_is_online(store: FeatureStoreBackend, tmp_path: Path) -> None:
    """There is nothing to compare."""
    with pytest.raises(SourceError):
        compare(FeatureStoreBackend(store.shape, tmp_path))
    assert list(tmp_path.iterdir()) == []
