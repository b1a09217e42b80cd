"""A product's online stores, with rows of every type and awkward keys: SQLite, Redis, PostgreSQL, DynamoDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Shape, View
from tests.factories import bucket, postgres, redis

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
DTYPES = {"number": "Int64"}  # pandas would make floats of whole numbers with gaps
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


@contextmanager
def started(folder: Path) -> Iterator[Servers]:
    """All of them, with a folder for Redis."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        def start_aws() -> dict[str, str]:
            env = stack.enter_context(bucket.s3_server())  # moto's, which speaks for all of AWS
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(name, env[name])
            return env

        listening = stack.enter_context(redis.server(folder))
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
