"""One source in many forms: files of any format and packing, several of them, or a query: the same features."""

from __future__ import annotations

import bz2
import gzip
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.source import Csv
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.features import SourceExtractIntervalOperator, StreamLandOperator
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import FolderStore
from tests.factories import postgres, redis
from tests.factories.shop import DAYS, ShopWorld

DAY = DAYS[0]
PATH = '                path="sales/{start:%Y-%m-%d}.csv",\n'
QUERY = "select shop, amount, at from sales where at >= {start} and at < {end} order by number"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ShopWorld]:
    """A product whose source was delivered as CSV, with some text that looks like something else."""
    world = ShopWorld(tmp_path)
    file = world.deliver_day(0, DAY)
    file.write_text(file.read_text().replace("east,", "NA,").replace("west,", '"so, ""so""",'))
    yield world
    world.close()


def rows(world: ShopWorld) -> pd.DataFrame:
    """Return what was delivered."""
    frame = pd.read_csv(world.landing / "sales" / f"{DAY.start:%Y-%m-%d}.csv", keep_default_na=False)
    return frame.assign(at=pd.to_datetime(frame["at"], utc=True))


def features(world: ShopWorld, raw: Dataset) -> str:
    """Return the hash of the features that are computed of a snapshot."""
    clean = world.job("clean", DAY, raw=raw)
    return str(world.job("compute", DAY, clean=(clean,)).hash)


def declare(world: ShopWorld, **changes: Any) -> None:
    """Have the source be declared otherwise."""
    text = (world.package / "product.py").read_text()
    assert PATH in text
    given = "".join(f"                {name}={value!r},\n" for name, value in changes.items())
    world.write("product.py", text.replace(PATH, given))
    sys.modules.pop(f"{world.name}.product", None)


def _json(frame: pd.DataFrame) -> bytes:
    records = frame.assign(at=frame["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"), more=[{"x": 1}] * len(frame)).to_dict(
        "records"
    )
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def _csv(frame: pd.DataFrame, **how: Any) -> bytes:
    return (
        frame.assign(at=frame["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_csv(None, index=False, **how).encode("utf-8")
    )


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=50)
    return bytes(sink.getvalue())


def _odd(frame: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    kinds = {"shop": pa.dictionary(pa.int32(), pa.string()), "at": pa.timestamp("ms", "America/New_York")}
    return table.cast(pa.schema([(name, kinds.get(name, pa.float64())) for name in table.column_names]))


FILES: dict[str, Callable[[pd.DataFrame], tuple[str, bytes]]] = {
    "Parquet": lambda frame: (".parquet", _parquet(pa.Table.from_pandas(frame))),
    "Parquet of other types": lambda frame: (".parquet", _parquet(_odd(frame))),
    "JSON lines": lambda frame: (".jsonl", _json(frame)),
    "gzip": lambda frame: (".csv.gz", gzip.compress(_csv(frame))),
    "bzip2": lambda frame: (".jsonl.bz2", bz2.compress(_json(frame))),
    "Zstandard": lambda frame: (".jsonl.zst", bytes(pa.Codec("zstd").compress(_json(frame)))),
}


@pytest.mark.parametrize("form", FILES)
def test_each_format_gives_the_same_snapshot(world: ShopWorld, form: str) -> None:
    """Byte for byte: what a file holds decides, not how it is written."""
    expected, frame = world.job("extract", DAY), rows(world)
    ending, data = FILES[form](frame)
    (world.landing / f"sales/day{ending}").write_bytes(data)
    declare(world, path=f"sales/day{ending}")
    raw = world.job("extract", DAY)
    assert raw.hash == expected.hash
    assert raw.facts["files"].keys() == {f"sales/day{ending}"}


@pytest.mark.parametrize("path", ["/", "/*/part.parquet", "/**/*"])
def test_a_delivery_of_several_files(world: ShopWorld, path: str) -> None:
    """A partitioned folder and a pattern mean all files, in the order of their names, but for what is no data."""
    expected, frame = world.job("extract", DAY), rows(world)
    for number, begin in enumerate(range(0, len(frame), 100)):
        part = world.landing / "sales" / f"day={DAY.start:%Y-%m-%d}" / f"hour={number}" / "part.parquet"
        part.parent.mkdir(parents=True)
        frame.iloc[begin : begin + 100].to_parquet(part)
    (part.parents[1] / "_committed").write_text("x")
    declare(world, path=f"sales/day={{start:%Y-%m-%d}}{path}")
    raw = world.job("extract", DAY)
    assert raw.hash == expected.hash
    assert [*raw.facts["files"]] == sorted(f"sales/day=2024-01-01/hour={number}/part.parquet" for number in range(3))


def test_a_marker_says_that_all_is_there(world: ShopWorld) -> None:
    """Without it the delivery has not come, whatever lies there already; it is no data itself."""
    (world.landing / "sales" / "all").mkdir()
    rows(world).to_parquet(world.landing / "sales" / "all" / "part.parquet")
    declare(world, path="sales/all/", marker="_SUCCESS")
    failure = run(world.spec("extract", interval=DAY)).failure
    assert failure
    assert failure.retryable
    assert "sales/all/_SUCCESS has not been delivered yet" in failure.message
    (world.landing / "sales" / "all" / "_SUCCESS").touch()
    assert world.job("extract", DAY).facts["rows"] == {"sales": 288}


def test_a_folder_without_data_is_no_delivery(world: ShopWorld) -> None:
    """What a writer leaves while it works is waited for; a marker beside nothing is a delivery of nothing."""
    folder = world.landing / "sales" / "all"
    folder.mkdir()
    (folder / "_started").touch()
    (folder / ".part.parquet.tmp").write_text("half")
    declare(world, path="sales/all/")
    failure = run(world.spec("extract", interval=DAY)).failure
    assert failure
    assert (failure.error, failure.retryable) == ("SourceError", True)
    text = (world.package / "product.py").read_text()
    world.write("product.py", text.replace("time=", 'marker="_SUCCESS", may_be_empty=True, time=', 1))
    sys.modules.pop(f"{world.name}.product")
    (folder / "_SUCCESS").touch()
    assert world.job("extract", DAY).facts["rows"] == {"sales": 0}


DIALECTS: dict[str, tuple[Csv, dict[str, Any], str]] = {
    "semicolons": (Csv(delimiter=";"), {"sep": ";"}, "utf-8"),
    "tabs, single quotes": (Csv(delimiter="\t", quote="'"), {"sep": "\t", "quotechar": "'"}, "utf-8"),
    "Windows": (Csv(encoding="cp1252"), {"lineterminator": "\r\n"}, "cp1252"),
    "no quotes": (Csv(delimiter="|", quote=""), {"sep": "|", "quoting": 3, "escapechar": None}, "utf-8"),
    "UTF-16": (Csv(encoding="utf-16"), {}, "utf-16"),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects(world: ShopWorld, name: str) -> None:
    """A declared dialect is read as what it is, text outside of ASCII too."""
    dialect, how, encoding = DIALECTS[name]
    frame = rows(world).assign(shop=lambda frame: frame["shop"].replace("north", "Grüße, „Nord“"))
    file = world.landing / "sales" / "day.csv"
    file.write_bytes(_csv(frame))
    declare(world, path="sales/day.csv")
    expected = world.job("extract", DAY)
    file.write_bytes(_csv(frame, **how).decode().encode(encoding))
    imported = "from airflow_mlops_provider.lifecycle.source import Csv\n"
    sys.modules.pop(f"{world.name}.product")
    text = (world.package / "product.py").read_text()
    world.write("product.py", imported + text.replace("time=", f"csv=Csv(**{dialect.model_dump()!r}), time=", 1))
    assert world.job("extract", DAY).hash == expected.hash


def _sqlite(world: ShopWorld, frame: pd.DataFrame) -> dict[str, Any]:
    file = world.landing / "sales.db"
    # Not by pandas' to_sql: it changes for all how moments are written, and Feast's online store could not read them.
    with sqlite3.connect(file) as database:
        database.execute("create table sales (number integer, shop text, amount real, at text)")
        stored = frame.assign(at=frame["at"].dt.strftime("%Y-%m-%d %H:%M:%S+00:00")).reset_index()
        database.executemany("insert into sales values (?, ?, ?, ?)", stored.values.tolist())
    return {"conn_type": "sqlite", "host": str(file)}


def queried(world: ShopWorld, connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Return the snapshot of a source that is a query, as the operator has it made."""
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(connection))
    monkeypatch.setattr(JobOperator, "artifacts", lambda _: FolderStore(world.root))
    declare(world, query=QUERY, conn_id="shop")
    operator = SourceExtractIntervalOperator(task_id="extract", product=world.product)
    inputs = operator.inputs({"data_interval_start": DAY.start, "data_interval_end": DAY.end})  # type: ignore[typeddict-item]
    result = world.job("extract", DAY, **inputs)
    assert isinstance(result, Dataset)
    return result


def test_a_query_in_sqlite(world: ShopWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its times are text; the rows of other days are not asked for."""
    pytest.importorskip("airflow.providers.sqlite", reason="apache-airflow-providers-sqlite is not installed")
    expected, frame = features(world, world.job("extract", DAY)), rows(world)
    later = frame.assign(at=frame["at"] + pd.Timedelta(days=1))
    raw = queried(world, _sqlite(world, pd.concat([frame, later], ignore_index=True)), monkeypatch)
    assert raw.facts["rows"] == {"sales": 288}
    assert features(world, raw) == expected


@pytest.mark.parametrize("server", [pytest.param(None, marks=postgres.NEEDED)])
def test_a_query_in_postgresql(world: ShopWorld, monkeypatch: pytest.MonkeyPatch, server: None) -> None:
    """Its times have a zone, its numbers may be decimals."""
    pytest.importorskip("airflow.providers.postgres", reason="apache-airflow-providers-postgres is not installed")
    expected, frame = features(world, world.job("extract", DAY)), rows(world)
    with _postgresql(frame) as connection:
        assert features(world, queried(world, connection, monkeypatch)) == expected


@contextmanager
def _postgresql(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Run a server with the rows, and give the connection to it."""
    import psycopg2

    with postgres.server("ann", "sesame") as port:
        address = {"host": "127.0.0.1", "port": port, "user": "ann", "password": "sesame", "dbname": "postgres"}
        with psycopg2.connect(**address) as database, database.cursor() as cursor:
            cursor.execute("create table sales (number int, shop text, amount numeric(10, 3), at timestamptz)")
            values = [(number, *row) for number, row in enumerate(frame.itertuples(index=False))]
            cursor.executemany("insert into sales values (%s, %s, %s, %s)", values)
        connection = {"conn_type": "postgres", "host": "127.0.0.1", "port": port, "schema": "postgres"}
        yield {**connection, "login": "ann", "password": "sesame"}


@contextmanager
def _stream(folder: Path, frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Run a Redis with the rows as entries of a stream, and give the connection to it."""
    from redis import Redis

    with redis.server(folder) as port:
        client = Redis(port=port, password=redis.PASSWORD)
        for number, record in enumerate(_json(frame).splitlines()):
            client.xadd("sales", {"record": record}, id=f"{int(DAY.start.timestamp() * 1000) + 300_000 * number}-*")
        yield {"conn_type": "redis", "host": "127.0.0.1", "port": port, "password": redis.PASSWORD}


@pytest.mark.parametrize("servers", [pytest.param(None, marks=postgres.NEEDED)])
def test_one_source_in_six_forms(
    world: ShopWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: None
) -> None:
    """As CSV, Parquet, JSON lines, by SQL of two databases and by a stream: the same features, hash for hash."""
    frame, declared, hashes = rows(world), (world.package / "product.py").read_text(), dict[str, str]()

    def take(form: str, extract: Callable[[], Dataset]) -> None:
        hashes[form] = features(world, extract())
        world.write("product.py", declared)
        sys.modules.pop(f"{world.name}.product", None)

    def of_file(**source: Any) -> Dataset:
        if source:
            declare(world, **source)
        raw = world.job("extract", DAY)
        assert isinstance(raw, Dataset)
        return raw

    take("CSV", of_file)
    for form in ("Parquet", "JSON lines"):
        ending, data = FILES[form](frame)
        (world.landing / f"sales/day{ending}").write_bytes(data)
        take(form, partial(of_file, path=f"sales/day{ending}"))
    take("SQLite", lambda: queried(world, _sqlite(world, frame), monkeypatch))
    with _postgresql(frame) as connection:
        take("PostgreSQL", lambda: queried(world, connection, monkeypatch))
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(world.root))
    monkeypatch.setenv("AIRFLOW__MLOPS__LANDING_ROOT", str(world.landing))
    with _stream(tmp_path, frame) as connection:
        monkeypatch.setenv("AIRFLOW_CONN_TILLS", json.dumps(connection))
        landing = {"path": "tills/{start:%Y-%m-%d}/", "schedule": "0 0 * * *", "start": DAY.start, "max_seconds": 60}
        task = StreamLandOperator(task_id="land", conn_id="tills", stream="sales", json_field="record", **landing)
        assert task.execute({})["entries"] == len(frame)  # type: ignore[arg-type]  # it takes nothing of it
    take("stream", partial(of_file, path="tills/{start:%Y-%m-%d}/", marker="_COMPLETE"))
    assert len(hashes) == 6
    assert len({*hashes.values()}) == 1, hashes
