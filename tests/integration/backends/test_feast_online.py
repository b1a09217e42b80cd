"""What is looked up and brought online in Feast's own layout, against what Feast itself reads and writes."""

from __future__ import annotations

import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.feature_store.feast import bulk, stored
from airflow_mlops_provider.backends.feature_store.feast.layout import Entities
from airflow_mlops_provider.backends.feature_store.feast.servers import dynamodb
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, MissingExtraError, SourceDataError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Shape, View
from tests.factories import bucket, postgres, redis
from tests.factories.dynamodb import ScarceDynamoDB
from tests.factories.ports import free_port

YEAR = Interval(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2014, 1, 1, tzinfo=UTC))
EVERY_TYPE = {"wind": "float64", "reports": "int64", "late": "bool", "note": "string", "seen": "timestamp"}
SHAPE = Shape(
    name="trips",
    problem="regression",
    label=LabelColumns(column="minutes", known_at="landed"),
    views=(
        View(name="leg", keys=("number", "carrier"), features=EVERY_TYPE),
        View(name="record", keys=("number", "carrier"), features={"share": "float64", "count": "float64"}),
        View(name="town", keys=("town",), features={"humid": "float64"}),
        View(name="hour", keys=("hour",), features={"traffic": "int64", "mean": "float64"}),
    ),
    request={"number": "int64", "carrier": "string", "town": "string", "hour": "timestamp"},
)
#: Numbers of either sign and of all sizes, which are kept with their lowest byte first; names of several alphabets.
NUMBERS = [0, 1, 255, 256, -1, -256, 2**40, -(2**62), 2**63 - 1]
TOWNS = ["Oslo", "", "São Paulo", "東京", 'it\'s 100 % "quoted"', "Oslo\n"]


def computed(folder: Path, rows: int = 300, begin: datetime = YEAR.start) -> dict[str, Path]:
    """Write rows of every view, several an entity, with gaps, whole numbers as floats, and nothing at all."""
    draw = np.random.default_rng(rows)
    at = pd.Timestamp(begin) + pd.to_timedelta(draw.choice(3 * 10**9, rows, replace=False), unit="ms")
    legs = pd.DataFrame({"number": draw.choice(NUMBERS, rows), "carrier": draw.choice(["AA", "ÜA"], rows)})
    legs = legs.assign(event_time=at, wind=draw.normal(size=rows) * 10.0 ** draw.integers(-30, 30, rows))
    legs["reports"] = pd.array(draw.integers(-(2**52), 2**52, rows), "Int64")
    legs["late"] = pd.array(draw.random(rows) < 0.5, "boolean")
    legs["note"] = draw.choice([*TOWNS], rows).astype(object)
    legs["seen"] = at.floor("s") - pd.Timedelta(days=30_000)  # long before 1970
    for place, name in enumerate(EVERY_TYPE):
        legs.loc[draw.random(rows) < 0.1 * (place + 1), name] = None
    hours = pd.DataFrame({"hour": at.floor("D"), "event_time": at, "traffic": pd.array([pd.NA] * rows, "Int64")})
    frames = {
        "leg": legs,
        "record": legs[["number", "carrier", "event_time"]].assign(share=0.0, count=range(rows)).head(rows // 20),
        "town": pd.DataFrame({"town": draw.choice(TOWNS, rows), "event_time": at, "humid": draw.normal(size=rows)}),
        "hour": hours.assign(mean=np.where(draw.random(rows) < 0.5, np.nan, -0.0)),
    }
    folder.mkdir(parents=True)
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    return {name: folder / f"{name}.parquet" for name in frames}


def asked(files: dict[str, Path], rows: int = 200) -> dict[str, list[Any]]:
    """Return keys to look up: known, unknown and missing ones, some again."""
    draw = np.random.default_rng(5)
    known = {key: pd.read_parquet(files[view.name])[key] for view in SHAPE.views for key in view.keys}
    keys = {name: draw.choice(values.to_numpy(object), rows).tolist() for name, values in known.items()}
    for name, unknown in {"number": 77, "carrier": "??", "town": "Atlantis", "hour": pd.Timestamp(YEAR.end)}.items():
        keys[name][:3] = [unknown, None, unknown]
    return keys


def by_feast(store: FeatureStoreBackend, keys: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return what Feast's own call for online features says of keys, none of them missing."""
    references = [f"{view.name}:{name}" for view in SHAPE.views for name in view.features]
    rows = [dict(zip(keys, values, strict=True)) for values in zip(*keys.values(), strict=True)]
    return dict(store._store.get_online_features(references, entity_rows=rows).to_dict())


@dataclass
class Servers:
    """A Redis and a PostgreSQL with passwords, and a DynamoDB. ``redis`` is the port of the first; the others start
    when they are needed.
    """

    redis: int
    start_postgres: Callable[[], int]
    start_aws: Callable[[], dict[str, str]]

    @cached_property
    def postgres(self) -> int:
        """The port."""
        return self.start_postgres()

    @cached_property
    def aws(self) -> dict[str, str]:
        """The environment that leads to it, and what makes boto3 find its keys."""
        return self.start_aws()

    def dynamodb(self) -> Any:
        """Return a client of it."""
        keys = {name.lower(): self.aws[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        where = {"region_name": self.aws["AWS_DEFAULT_REGION"], "endpoint_url": self.aws["AWS_ENDPOINT_URL"]}
        return boto3.session.Session().client("dynamodb", **where, **keys)

    def database(self, number: int) -> Any:
        """Return a connection to a database of that number, which is made if it is not there."""
        psycopg = pytest.importorskip("psycopg")
        where = {"host": "127.0.0.1", "port": self.postgres, "user": "feast", "password": "sesame", "autocommit": True}
        with psycopg.connect(**where, dbname="postgres") as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [f"n{number}"]).fetchall():
                connection.execute(f"CREATE DATABASE n{number}")
        return psycopg.connect(**where, dbname=f"n{number}")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """All of them."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        def start_aws() -> dict[str, str]:
            env = stack.enter_context(bucket.s3_server())  # moto's, which speaks for all of AWS
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(name, env[name])
            return env

        listening = stack.enter_context(redis.server(tmp_path_factory.mktemp("redis")))
        yield Servers(listening, lambda: stack.enter_context(postgres.server("feast", "sesame")), start_aws)


def opened(folder: Path, online: dict[str, Any]) -> FeatureStoreBackend:
    """Return a feature store with the rows offline, whose definitions are applied."""
    store = FeatureStoreBackend(SHAPE, folder / "store", online)
    store.apply()
    store.offline.load(YEAR, computed(folder / "computed"))
    return store


def settings(kind: str, folder: Path, servers: Servers, database: int = 0) -> dict[str, Any]:
    """Return the settings of an online store."""
    if kind == "redis":
        where = f"127.0.0.1:{servers.redis},db={database},password={redis.PASSWORD}"
        return {"type": "redis", "connection_string": where}
    if kind == "postgres":
        servers.database(database).close()
        where = {"host": "127.0.0.1", "port": servers.postgres, "database": f"n{database}", "user": "feast"}
        return {"type": "postgres", **where, "password": "sesame", "sslmode": "disable"}
    if kind == "dynamodb":
        pytest.importorskip("aiobotocore")
        where = {"region": servers.aws["AWS_DEFAULT_REGION"], "endpoint_url": servers.aws["AWS_ENDPOINT_URL"]}
        return {"type": kind, **where, "table_name_template": f"n{database}_{{project}}.{{table_name}}"}
    return {"type": kind, **({"path": str(folder / "other.db")} if kind != "sqlite" else {})}


DTYPES = {"number": "Int64"}  # pandas would make floats of whole numbers with gaps
POSTGRES_PLAIN = {"type": "postgres", "host": "db", "database": "n0", "user": "feast", "password": "sesame"}
DYNAMODB = {"type": "dynamodb", "region": "eu-central-1"}
POSTGRES = pytest.param("postgres", marks=postgres.NEEDED)
LAID_OUT = ("sqlite", "redis", POSTGRES, "dynamodb")
KINDS = (*LAID_OUT, "feast.infra.online_stores.sqlite.SqliteOnlineStore")


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


def test_dynamodb_is_asked_for_all_views_together(tmp_path: Path, servers: Servers) -> None:
    """One request for what fits into one, with each key once; the store's own settings hold."""
    plain = settings("dynamodb", tmp_path, servers, 1)
    with ScarceDynamoDB(plain["endpoint_url"]) as scarce:
        store = opened(tmp_path, {**plain, "endpoint_url": scarce.url, "consistent_reads": True, "batch_size": 5})
        store.materialize(YEAR)
        every = asked({view.name: tmp_path / "computed" / f"{view.name}.parquet" for view in SHAPE.views})
        keys = {name: [values[9]] * 3 for name, values in every.items()}
        columns = store.online_columns(keys)
        (requested,) = scarce.of("BatchGetItem")
        assert sorted(requested) == [f"n1_trips.{name}" for name in ("hour", "leg", "record", "town")]
        assert all(len(named["Keys"]) == 1 and named["ConsistentRead"] for named in requested.values())
        assert not np.isnan(columns["humid"]).any()
        scarce.requests.clear()
        apart = store.online_columns(every)
        sizes = [sum(len(named["Keys"]) for named in requested.values()) for requested in scarce.of("BatchGetItem")]
        assert len(sizes) > 5 and {*sizes} <= {*range(1, 6)} and sizes.count(5) >= len(sizes) - 1
        usual = FeatureStoreBackend(SHAPE, store.folder, {**plain, "endpoint_url": scarce.url})
        for name, column in usual.online_columns(every).items():
            np.testing.assert_array_equal(column, apart[name])
        scarce.requests.clear()
        usual.online_columns(keys)
        (requested,) = scarce.of("BatchGetItem")
        assert not any(named["ConsistentRead"] for named in requested.values())


def test_what_dynamodb_leaves_undone_is_requested_again(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written and read as if it had been done at once; without end it is given up, and said."""
    plain = settings("dynamodb", tmp_path, servers, 2)
    monkeypatch.setattr(dynamodb, "_PAUSE", 0.001)
    with ScarceDynamoDB(plain["endpoint_url"]) as scarce:
        store = opened(tmp_path, {**plain, "endpoint_url": scarce.url, "read_timeout": 30})
        scarce.most = 20
        store.materialize(YEAR)
        assert max(len(*requested.values()) for requested in scarce.of("BatchWriteItem")) == 25
        keys = asked({view.name: tmp_path / "computed" / f"{view.name}.parquet" for view in SHAPE.views})
        scarce.most = 30
        ours = store.online_columns(keys)
        scarce.most = None
        for name, column in store.online_columns(keys).items():
            np.testing.assert_array_equal(column, ours[name])
        rows = pd.DataFrame({name: pd.Series(values, dtype=DTYPES.get(name)) for name, values in keys.items()})
        moved = rows.assign(event_time=YEAR.end - pd.Timedelta(microseconds=1))
        np.testing.assert_array_equal(store.historical(moved)["humid"], ours["humid"])
        scarce.most = 1
        monkeypatch.setattr(stored, "SECONDS", 0.01)
        monkeypatch.setattr(dynamodb, "_SECONDS_TO_WRITE", 0.01)
        hasty = FeatureStoreBackend(SHAPE, store.folder, store.online_store)
        with pytest.raises(BackendError, match=r"DynamoDB left items of n2_trips\..* undone for 0\.01 s"):
            hasty.online_columns(keys)
        with pytest.raises(BackendError, match=r"DynamoDB left items of n2_trips\..* undone for 0\.01 s"):
            hasty.materialize(YEAR)


def test_a_dynamodb_that_does_not_answer_is_named(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody there, no answer, refused, without its table: the place and the reason, and nothing of what it says."""
    plain = settings("dynamodb", tmp_path, servers, 3)
    store = opened(tmp_path, plain)
    store.materialize(YEAR)
    keys = {"number": [255], "carrier": ["AA"], "town": ["Oslo"], "hour": [None]}
    servers.dynamodb().delete_table(TableName="n3_trips.town")
    with pytest.raises(BackendError, match=r"DynamoDB at 127\.0\.0\.1:\d+ did not answer: ResourceNotFoundException$"):
        store.online_columns(keys)
    with pytest.raises(BackendError, match=r"did not answer: ResourceNotFoundException$"):
        store.materialize(YEAR)
    monkeypatch.setattr(stored, "SECONDS", 1)
    with ScarceDynamoDB(plain["endpoint_url"]) as scarce, socket.socket() as mute:
        scarce.most = 0
        mute.bind(("127.0.0.1", 0))
        mute.listen(20)
        reasons = {
            scarce.url: "ProvisionedThroughputExceededException",
            f"http://127.0.0.1:{mute.getsockname()[1]}": "ReadTimeoutError",
            f"http://127.0.0.1:{free_port()}": "EndpointConnectionError",
        }
        for url, reason in reasons.items():
            with pytest.raises(BackendError) as caught:
                FeatureStoreBackend(SHAPE, store.folder, {**plain, "endpoint_url": url}).online_columns(keys)
            assert str(caught.value) == f"DynamoDB at {url.removeprefix('http://')} did not answer: {reason}"
        assert len(scarce.of("BatchGetItem")) == 2
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    nowhere = {name: value for name, value in plain.items() if name != "endpoint_url"}
    with pytest.raises(BackendError, match=r"DynamoDB in us-east-1 did not answer: NoCredentialsError$"):
        FeatureStoreBackend(SHAPE, store.folder, nowhere).online_columns(keys)


def test_entities_in_dynamodb_are_overwritten(tmp_path: Path, servers: Servers) -> None:
    """It keeps hashes of names, which tell nobody's: those that the offline store has are left without features."""
    store = opened(tmp_path, settings("dynamodb", tmp_path, servers, 4))
    store.materialize(YEAR)
    keys = {"number": [255] * 2, "carrier": ["AA"] * 2, "town": ["Oslo", ""], "hour": [None] * 2}
    before = store.online_columns(keys)
    nobody: dict[str, list[Any]] = {view.name: [] for view in SHAPE.views}
    wanted = {name: lambda key: key == ("Oslo",) for name in nobody}
    assert store.forget(wanted, nobody) == nobody
    assert store.forget(wanted, nobody | {"town": [("Oslo",), ("",)]}) == nobody | {"town": [("Oslo",)]}
    after = store.online_columns(keys)
    assert not np.isnan(before["humid"]).any()
    np.testing.assert_array_equal(after["humid"], [np.nan, before["humid"][1]])
    np.testing.assert_array_equal(after["wind"], before["wind"])


def test_dynamodb_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Feast needs for it is named with its pip line."""
    gone = [name for name in sys.modules if name.partition(".")[0] == "aiobotocore" or name.endswith(".dynamodb")]
    for name in gone:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiobotocore", None)
    store = FeatureStoreBackend(SHAPE, tmp_path, {"type": "dynamodb", "region": "us-east-1"})
    with pytest.raises(MissingExtraError, match=r"dynamodb online store needs: .*provider\[dynamodb\]"):
        store.apply()


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
