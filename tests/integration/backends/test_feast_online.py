"""What is looked up and brought online in Feast's own layout, against what Feast itself reads and writes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.feature_store.feast import bulk, stored
from airflow_mlops_provider.backends.feature_store.feast.layout import Entities
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, SourceDataError
from airflow_mlops_provider.lifecycle.interval import Interval
from tests.factories import postgres, redis
from tests.factories.online_stores import DTYPES, SHAPE, YEAR, Servers, asked, computed, opened, settings, started

POSTGRES_PLAIN = {"type": "postgres", "host": "db", "database": "n0", "user": "feast", "password": "sesame"}
DYNAMODB = {"type": "dynamodb", "region": "eu-central-1"}
POSTGRES = pytest.param("postgres", marks=postgres.NEEDED)
LAID_OUT = ("sqlite", "redis", POSTGRES, "dynamodb")
KINDS = (*LAID_OUT, "feast.infra.online_stores.sqlite.SqliteOnlineStore")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """All of them."""
    with started(tmp_path_factory.mktemp("redis")) as running:
        yield running


def by_feast(store: FeatureStoreBackend, keys: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return what Feast's own call for online features says of keys, none of them missing."""
    references = [f"{view.name}:{name}" for view in SHAPE.views for name in view.features]
    rows = [dict(zip(keys, values, strict=True)) for values in zip(*keys.values(), strict=True)]
    return dict(store._store.get_online_features(references, entity_rows=rows).to_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_a_look_up_says_what_feast_says(kind: str, tmp_path: Path, servers: Servers) -> None:
    """Every type, key of one column and of several, unknown and missing ones, from each kind of store: as Feast has it,
    as the frame has it, and as history has it.
    """
    store = opened(tmp_path, settings(kind, tmp_path, servers))
    store.materialize(YEAR)
    keys = asked({view.name: tmp_path / "computed" / f"{view.name}.parquet" for view in SHAPE.views})
    rows = pd.DataFrame({name: pd.Series(values, dtype=DTYPES.get(name)) for name, values in keys.items()})
    columns, frame = store.online_columns(keys), store.online(rows)
    assert [*columns] == [*frame] == [*SHAPE.feature_types]
    for name, type_of in SHAPE.feature_types.items():
        wanted = {"string": "object", "timestamp": "datetime64[ns]"}.get(type_of, "float64")
        assert columns[name].dtype == wanted
        values = frame[name].dt.tz_localize(None).to_numpy() if type_of == "timestamp" else frame[name].to_numpy()
        np.testing.assert_array_equal(columns[name], values)
    whole = {name: values[3:] for name, values in keys.items()}  # Feast refuses a key that is missing
    theirs = by_feast(store, whole)
    for name, type_of in SHAPE.feature_types.items():
        values = [*map(pd.Timestamp, theirs[name])] if type_of == "timestamp" else theirs[name]
        ours = frame[name].iloc[3:].tolist()
        assert [None if pd.isna(value) else value for value in ours] == [
            None if pd.isna(value) else value for value in values
        ]
        assert frame[name].iloc[1] is None or pd.isna(frame[name].iloc[1])
        assert frame[name].notna().any() == (name != "traffic")
    for name, column in store.online_columns({name: rows[name].astype(object).to_numpy() for name in rows}).items():
        np.testing.assert_array_equal(column, columns[name])
    moved = rows.assign(event_time=YEAR.end - pd.Timedelta(microseconds=1))
    pd.testing.assert_frame_equal(store.historical(moved)[[*frame]], frame)
    assert all(len(column) == 0 for column in store.online_columns({name: [] for name in keys}).values())


@pytest.mark.parametrize("kind", LAID_OUT)
def test_bulk_leaves_what_feast_leaves(
    kind: str, tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, in many batches: of an interval, a later one, and one again, for which all history counts."""
    monkeypatch.setattr(bulk, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(bulk, "_VALUES_AT_ONCE", 40)  # of SQLite: some entities at once, and what is left one by one
    later = Interval(start=YEAR.end, end=datetime(2015, 1, 1, tzinfo=UTC))
    stores = [opened(tmp_path / name, settings(kind, tmp_path, servers, 2 + at)) for at, name in enumerate("ab")]
    for interval in (YEAR, later, YEAR):
        for store in stores:
            if interval is later and not store.offline.holds(later):
                store.offline.load(later, computed(store.folder.parent / "later", 200, begin=later.start))
            with monkeypatch.context() as patch:
                if store is stores[1]:
                    patch.setattr(bulk, "fits", lambda _: False)
                    patch.setattr(bulk, "materialize", None)
                store.materialize(interval)
        ours, theirs = (kept(store, servers, 2 + at) for at, store in enumerate(stores))
        assert len(ours) > 20
        assert ours == theirs


def test_sqlite_is_written_in_order_and_in_large_pages(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names come as they are sorted, which SQLite appends; who has the file open already reads on, and sees it all."""
    store, written, real = opened(tmp_path, settings("sqlite", tmp_path, servers)), list[list[bytes]](), bulk._rows
    monkeypatch.setattr(bulk, "_rows", lambda entities, batch: written.append(batch.names) or real(entities, batch))  # type: ignore[func-returns-value]
    with closing(sqlite3.connect(store.folder / "online.db")) as reader:
        assert reader.execute("SELECT count(*) FROM trips_town").fetchone() == (0,)
        store.materialize(YEAR)
        assert len(written) == len(SHAPE.views) and all(names == sorted(names) for names in written)
        assert len(written[0]) > 10
        assert reader.execute("SELECT count(*) FROM trips_town").fetchone()[0] > 5
        assert reader.execute("PRAGMA page_size").fetchone() == (bulk._PAGE_BYTES,)
        assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_floats_are_written_as_python_writes_them() -> None:
    """DuckDB's text of a float is Python's, for any bits: what Feast's own materialization leaves is compared by it."""
    import duckdb

    draw = np.random.default_rng(3)
    values = np.concatenate([draw.integers(0, 2**64, 50_000, "uint64").view("f8"), 10.0 ** np.arange(-320, 308)])
    values = [*values[~np.isnan(values)].tolist(), 0.0, -0.0, float("inf"), 1e16, 9999999999999998.0, 1e-4, 1e-5]
    frame = pd.DataFrame({"value": values})
    texts = duckdb.from_df(frame).project("CAST(value AS VARCHAR)").fetchall()
    assert [text for (text,) in texts] == [*map(str, values)]


def kept(store: FeatureStoreBackend, servers: Servers, database: int) -> list[Any]:
    """Return everything that an online store holds."""
    if store.online_store["type"] == "sqlite":
        with sqlite3.connect(store.folder / "online.db") as connection:
            names = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
            return sorted(row for name in names for row in connection.execute(f'select "{name}", * from "{name}"'))
    if store.online_store["type"] == "postgres":
        with servers.database(database) as connection:
            named = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            names = [name for (name,) in connection.execute(named)]
            return sorted(
                ((name, *row) for name in names for row in connection.execute(f'select * from "{name}"')), key=str
            )
    if store.online_store["type"] == "dynamodb":
        client = servers.dynamodb()
        views = {f"n{database}_{SHAPE.name}.{view.name}": view.name for view in SHAPE.views}
        pages = {view: client.get_paginator("scan").paginate(TableName=table) for table, view in views.items()}
        items = ((view, item) for view in pages for page in pages[view] for item in page["Items"])
        return sorted(items, key=lambda found: (found[0], found[1]["entity_id"]["S"]))
    from redis import Redis

    client = Redis(port=servers.redis, db=database, password=redis.PASSWORD)
    return sorted((name, sorted(client.hgetall(name).items())) for name in client.scan_iter())


def test_settings_beyond_the_plain_layout_are_left_to_feast(tmp_path: Path, servers: Servers) -> None:
    """A cluster, a comparison with what is there, vectors: Feast's own writer and reader know how."""
    plain = settings("redis", tmp_path, servers)
    lasting = {**plain, "key_ttl_seconds": 1000}
    for number, online in enumerate([plain, lasting, {"type": "sqlite"}, POSTGRES_PLAIN, DYNAMODB]):
        assert bulk.fits(FeatureStoreBackend(SHAPE, tmp_path / f"{number}", online)._store.config.online_store)
    others = [
        {**plain, "redis_type": "redis_cluster"},
        {**plain, "skip_dedup": False},
        {"type": "sqlite", "vector_enabled": True},
        {**POSTGRES_PLAIN, "vector_enabled": True},
    ]
    for number, online in enumerate(others):
        store = FeatureStoreBackend(SHAPE, tmp_path / f"other{number}", online)._store
        assert not bulk.fits(store.config.online_store)
    cluster = FeatureStoreBackend(SHAPE, tmp_path / "other0", others[0])
    cluster.apply()
    assert isinstance(stored.stored(cluster._store, SHAPE, {}, None, threading.Lock()), stored.FeastRows)


def test_keys_in_redis_may_expire(tmp_path: Path, servers: Servers) -> None:
    """Feast's setting for it holds for what is written in bulk."""
    from redis import Redis

    store = opened(tmp_path, {**settings("redis", tmp_path, servers, 5), "key_ttl_seconds": 1000})
    store.materialize(YEAR)
    client = Redis(port=servers.redis, db=5, password=redis.PASSWORD)
    assert all(900 < client.ttl(name) <= 1000 for name in client.scan_iter())
    assert client.dbsize() > 20


def test_an_error_among_answers_spoils_no_later_look_up(tmp_path: Path, servers: Servers) -> None:
    """What Redis says after an error is not taken for the answer to the next call."""
    from redis import Redis

    store = opened(tmp_path, settings("redis", tmp_path, servers, 6))
    store.materialize(YEAR)
    keys = asked({view.name: tmp_path / "computed" / f"{view.name}.parquet" for view in SHAPE.views})
    before, client = store.online_columns(keys), Redis(port=servers.redis, db=6, password=redis.PASSWORD)
    name = next(name for name in client.scan_iter() if b"town" in name and b"Oslo" in name)
    kept_there = client.dump(name)
    client.set(name, "no hash")
    with pytest.raises(BackendError, match=r"did not answer: ResponseError"):
        store.online_columns(keys)
    client.restore(name, 0, kept_there, replace=True)
    for feature, column in store.online_columns(keys).items():
        np.testing.assert_array_equal(column, before[feature])


@pytest.mark.parametrize("kind", LAID_OUT)
def test_one_entity_may_be_named_in_two_ways(kind: str, tmp_path: Path, servers: Servers) -> None:
    """A number, a float that is the same, and text of it are one entity, in one call."""
    store = opened(tmp_path, settings(kind, tmp_path, servers))
    store.materialize(YEAR)
    keys = {"number": [255, 255.0, "255"], "carrier": ["AA"] * 3, "town": ["Oslo"] * 3, "hour": [None] * 3}
    for column in store.online_columns(keys).values():
        np.testing.assert_array_equal(column[:1], column[1:2])
        np.testing.assert_array_equal(column[:1], column[2:])


@pytest.mark.parametrize("kind", [POSTGRES])
def test_entities_are_taken_out_of_postgres(kind: str, tmp_path: Path, servers: Servers) -> None:
    """Those that are wanted, of every view, and nobody else; and they are listed no more."""
    store = opened(tmp_path, settings(kind, tmp_path, servers, 7))
    store.materialize(YEAR)
    keys = {"number": [255, 256], "carrier": ["AA"] * 2, "town": ["Oslo", ""], "hour": [None] * 2}
    before = store.online_columns(keys)
    wanted = {view.name: lambda key: key[0] in (255, "Oslo") for view in SHAPE.views}
    taken = store.forget(wanted, {view.name: [] for view in SHAPE.views})
    assert taken["town"] == [("Oslo",)]
    assert {key[0] for key in taken["leg"]} == {255}
    assert not any(store.forget(wanted, {view.name: [] for view in SHAPE.views}).values())
    after = store.online_columns(keys)
    assert not np.isnan(before["wind"]).any()
    np.testing.assert_array_equal(after["wind"], [np.nan, before["wind"][1]])
    np.testing.assert_array_equal(after["humid"], [np.nan, before["humid"][1]])


@pytest.mark.parametrize("kind", [POSTGRES])
def test_a_lost_connection_is_made_anew(kind: str, tmp_path: Path, servers: Servers) -> None:
    """The server ended it: the next look-up answers; what the server refuses, or is gone, is named without a secret."""
    store = opened(tmp_path, settings(kind, tmp_path, servers, 8))
    store.materialize(YEAR)
    keys = asked({view.name: tmp_path / "computed" / f"{view.name}.parquet" for view in SHAPE.views})
    before = store.online_columns(keys)
    for _ in range(2):
        store.require_online()
        with servers.database(8) as connection:
            others = "pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'n8'"
            assert connection.execute(f"SELECT pg_terminate_backend(pid) FROM {others}").fetchall()
        for feature, column in store.online_columns(keys).items():
            np.testing.assert_array_equal(column, before[feature])
    with servers.database(8) as connection:
        connection.execute("ALTER TABLE trips_town RENAME TO elsewhere")
        with pytest.raises(
            BackendError, match=r"PostgreSQL at 127\.0\.0\.1:\d+/n8 did not answer: UndefinedTable"
        ) as caught:
            store.online_columns(keys)
        connection.execute("ALTER TABLE elsewhere RENAME TO trips_town")
    assert "sesame" not in str(caught.value)
    np.testing.assert_array_equal(store.online_columns(keys)["humid"], before["humid"])
    with servers.database(8) as connection:
        connection.execute("TRUNCATE trips_town")
    with pytest.raises(BackendError, match="has lost the features of view 'town'"):
        FeatureStoreBackend(SHAPE, store.folder, store.online_store).require_online()


def test_sqlite_is_read_anew_once_somebody_wrote(tmp_path: Path, servers: Servers) -> None:
    """What was looked up is kept, and not beyond the next write, whoever's it is."""
    store = opened(tmp_path, settings("sqlite", tmp_path, servers))
    store.materialize(YEAR)
    keys = {"number": [0], "carrier": ["AA"], "town": ["Oslo"], "hour": [pd.Timestamp(YEAR.start)]}
    assert [store.online_columns(keys)["humid"][0] for _ in range(2)] != [5.0, 5.0]
    with sqlite3.connect(store.folder / "online.db") as connection:
        connection.execute("update trips_town set value = (select value from trips_record limit 1)")
    connection.close()
    assert store.online_columns(keys)["humid"][0] in (0.0, *range(300))


def test_an_interrupted_write_is_finished_by_the_next(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watermark stays where it was, so that the retry brings the whole interval online."""
    store = opened(tmp_path, settings("sqlite", tmp_path, servers))
    real = bulk._to_sqlite
    monkeypatch.setattr(bulk, "_ROWS_AT_ONCE", 3)

    def dies(config: Any, online: Any, view: Any, entities: Any, batches: Iterator[Any]) -> None:
        real(config, online, view, entities, iter([next(batches)]))
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "_to_sqlite", dies)
        with pytest.raises(BackendError, match=r"online\.db did not answer: disk I/O error"):
            store.materialize(YEAR)
    assert store.watermark() is None
    store.materialize(YEAR)
    assert store.watermark() == YEAR.end
    rows = pd.DataFrame({"number": [0], "carrier": ["AA"], "town": ["Oslo"], "hour": [pd.Timestamp(YEAR.start)]})
    moved = rows.assign(event_time=YEAR.end - pd.Timedelta(microseconds=1))
    pd.testing.assert_frame_equal(store.historical(moved)[[*SHAPE.feature_types]], store.online(rows))


def test_values_of_another_type_are_named() -> None:
    """Numbers kept under an older declaration are read as such; text is no number, and the message says what to do."""
    from feast.protos.feast.types.Value_pb2 import Value

    entities = Entities({"town": "string"}, {"town": {"humid": "float64", "wind": "float64"}})
    whole, real = Value(int64_val=7).SerializeToString(), Value(double_val=0.5).SerializeToString()
    columns = entities.columns([(whole, real), (real, b""), (None, whole)])
    np.testing.assert_array_equal(columns["humid"], [7, 0.5, np.nan])
    np.testing.assert_array_equal(columns["wind"], [0.5, np.nan, 7])
    with pytest.raises(BackendError, match="of another type than float64; materialize it again"):
        entities.columns([(Value(string_val="seven").SerializeToString(), real)])
    with pytest.raises(ConfigurationError, match=r"by string, int64, timestamp alone.*'rate': 'float64'"):
        Entities({"rate": "float64"}, {}).names([(1.5,)])
    for key in (2**63, "seven", None):
        with pytest.raises(SourceDataError, match=r"a key is not \{'number': 'int64'\}"):
            Entities({"number": "int64"}, {}).names([(key,)])
