"""A source that comes by a stream: what is behind the landing root takes it for any other."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.operators.features import StreamLandOperator
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.triggers.streams import MOST_NAMES, StreamTrigger
from tests.factories import redis
from tests.factories.shop import DAYS, START, ShopWorld
from tests.factories.waiting import Store, fired

DAY = DAYS[0]
CSV = 'path="sales/{start:%Y-%m-%d}.csv"'
FOLDER = 'path="sales/{start:%Y-%m-%d}/", marker="_COMPLETE"'
GOOD = {"record": '{"shop": "north", "amount": 1.5, "at": "2024-01-01T08:00:00Z"}'}
FIELDS: dict[str, Any] = {
    "conn_id": "tills",
    "stream": "sales",
    "path": "sales/{start:%Y-%m-%d}/",
    "schedule": "0 0 * * *",
    "start": START,
}


class Tills:
    """A stream of sales, as a connection knows it."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def sell(self, at: timedelta, fields: dict[str, Any]) -> None:
        """Add an entry that arrived so long after the start."""
        self.client.xadd("sales", fields, id=f"{int((START + at).timestamp() * 1000)}-*")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a Redis listens."""
    with redis.server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShopWorld]:
    """A product whose source was delivered as CSV, in the landing root of this Airflow."""
    world = ShopWorld(tmp_path)
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(world.root))
    monkeypatch.setenv("AIRFLOW__MLOPS__LANDING_ROOT", str(world.landing))
    yield world
    world.close()


@pytest.fixture
def tills(port: int, monkeypatch: pytest.MonkeyPatch) -> Tills:
    """Nobody has sold anything yet."""
    from redis import Redis

    connection = {"conn_type": "redis", "host": "127.0.0.1", "port": port, "password": redis.PASSWORD}
    monkeypatch.setenv("AIRFLOW_CONN_TILLS", json.dumps(connection))
    client = Redis(port=port, password=redis.PASSWORD)
    client.flushall()
    return Tills(client)


def declare(world: ShopWorld, how: str) -> None:
    """Have the source be declared otherwise."""
    text = (world.package / "product.py").read_text()
    assert CSV in text
    world.write("product.py", text.replace(CSV, how))
    sys.modules.pop(f"{world.name}.product", None)


def sold(world: ShopWorld) -> list[dict[str, str]]:
    """Return the rows of the delivery, as text."""
    names, *lines = (world.landing / "sales" / f"{DAY.start:%Y-%m-%d}.csv").read_text().splitlines()
    return [dict(zip(names.split(","), line.split(","), strict=True)) for line in lines]


def land(**changes: Any) -> dict[str, Any]:
    """Land all that is there, as a task of a DAG that ends in an hour."""
    operator = StreamLandOperator(task_id="land", **{**FIELDS, "max_seconds": 60, "batch": 50, **changes})
    handed_on: dict[str, Any] = operator.execute({})  # type: ignore[arg-type]  # it takes nothing of it
    return handed_on


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_stream_gives_the_snapshot_of_a_file(world: ShopWorld, tills: Tills, form: str) -> None:
    """Byte for byte, and so the same features: of fields of text, and of JSON objects."""
    expected = world.job("extract", DAY)
    for number, row in enumerate(sold(world)):
        record = {**row, "amount": float(row["amount"]), "further": {"till": [number]}}
        fields = row if form == "text" else {"record": json.dumps(record, indent=1), "version": "1"}
        tills.sell(timedelta(minutes=5 * number), fields)
    handed_on = land(json_field="record" if form == "json" else None)
    assert handed_on["entries"] == 288
    declare(world, f'{FOLDER}, format="jsonl_text"' if form == "text" else FOLDER)
    raw = world.job("extract", DAY)
    assert isinstance(raw, Dataset)
    assert raw.hash == expected.hash
    assert [*raw.facts["files"]] == [f"sales/2024-01-01/{number:08d}.jsonl" for number in range(6)]


def test_the_columns_that_landing_adds(world: ShopWorld, tills: Tills) -> None:
    """A source may declare an entry's id, and its number in the stream."""
    for minute in (1, 2):
        tills.sell(timedelta(minutes=minute), GOOD)
    land(json_field="record")
    declare(world, FOLDER)
    text = (world.package / "product.py").read_text()
    more = 'columns={"_entry_id": "string", "_entry_number": "int64", '
    world.write("product.py", text.replace("columns={", more, 1))
    sys.modules.pop(f"{world.name}.product", None)
    raw = world.job("extract", DAY)
    frame = pd.read_parquet(Path(raw.uri.removeprefix("file://")) / "sales.parquet")
    first = int(START.timestamp() * 1000)
    assert frame["_entry_id"].tolist() == [f"{first + 60_000}-0", f"{first + 120_000}-0"]
    assert frame["_entry_number"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"record": "no json"}, r"!\{b'record': b'no json'\}"),
        ({"record": "[1]"}, r"!\{b'record': b'\[1\]'\}"),
        ({"record": '{"amount": NaN}'}, "amount.*NaN"),
        ({"record": '{"amount": 1'}, "amount"),
        ({"record": b"\xff"}, r"\\xff"),
        ({"other": "{}"}, "other"),
    ],
)
def test_what_is_no_record_is_landed_and_refused_by_name(
    world: ShopWorld, tills: Tills, fields: dict[str, Any], value: str
) -> None:
    """It does not stop the stream: whoever reads the file names file, record and value."""
    for number, record in enumerate((GOOD, fields, GOOD)):
        tills.sell(timedelta(minutes=number), record)
    assert land(json_field="record", batch=2)["entries"] == 3
    declare(world, FOLDER)
    failure = run(world.spec("extract", interval=DAY)).failure
    assert failure
    assert (failure.error, failure.retryable) == ("SourceDataError", False)
    pattern = rf"sales/2024-01-01/00000000\.jsonl is no readable file of JSON lines: record 2: .*{value}"
    assert re.search(pattern, failure.message), failure.message


def test_an_interval_without_entries_is_a_delivery_of_nothing(world: ShopWorld, tills: Tills) -> None:
    """Where the source says that it may be; until the marker is there it is waited for."""
    declare(world, f"{FOLDER}, may_be_empty=True")
    failure = run(world.spec("extract", interval=DAY)).failure
    assert failure
    assert "sales/2024-01-01/_COMPLETE has not been delivered yet" in failure.message
    tills.sell(timedelta(hours=25), {"record": "{}"})
    land(json_field="record")
    assert [file.name for file in (world.landing / "sales" / "2024-01-01").iterdir()] == ["_COMPLETE"]
    assert world.job("extract", DAY).facts["rows"] == {"sales": 0}


def watcher(store: Store) -> StreamTrigger:
    """Return a watcher as a triggerer makes it anew: from what is stored of it."""
    kind, arguments = StreamTrigger(**FIELDS, json_field="record", batch="2").serialize()
    assert kind == "airflow_mlops_provider.triggers.streams.StreamTrigger"
    assert redis.PASSWORD not in json.dumps(arguments)
    trigger = StreamTrigger(**arguments)
    trigger.asset_state_store = store
    return trigger


def test_a_watcher_lands_and_fires(world: ShopWorld, tills: Tills) -> None:
    """An event each time that it has landed something, none for nothing; what was landed and not told is told later."""

    def sell(day: int) -> None:
        for minute in range(5):
            tills.sell(timedelta(days=day, hours=1, minutes=minute), GOOD)

    store = Store()
    sell(0)
    events = fired(watcher(store), lambda: None, lambda: sell(1), lambda: None, lambda: None)
    assert [event["entries"] for event in events] == [5, 5]
    assert events[0]["files"] == [f"sales/2024-01-01/{number:08d}.jsonl" for number in range(3)]
    assert len(events[0]["completed"]) == MOST_NAMES
    last = int((START + timedelta(days=1, hours=1, minutes=4)).timestamp() * 1000)
    assert events[1]["through"] == f"{last}-0"
    assert fired(watcher(store)) == []
    sell(2)
    watcher(store).look()  # and is killed before it can tell
    assert [event["entries"] for event in fired(watcher(store))] == [0]
    assert len(list(world.landing.rglob("sales/*/*.jsonl"))) == 9


def test_settings_that_can_not_work(world: ShopWorld, tills: Tills, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are refused by name, with what is allowed."""
    for changes, wrong in (
        ({"stream": " "}, "stream is ' '"),
        ({"batch": "many"}, "batch is 'many', not a whole number"),
        ({"start": "soon"}, "start is 'soon'; give a moment"),
        ({"start": "2024-01-01"}, "has no zone"),
        ({"schedule": "x"}, "schedule 'x' in 'UTC' cuts no time"),
        ({"conn_id": "mlops_stream"}, "connection 'mlops_stream': isn't defined"),
    ):
        with pytest.raises(ConfigurationError, match=wrong):
            StreamTrigger(**{**FIELDS, **changes}).look()
    kinds = {"conn_type": "mlops_stream", "host": "127.0.0.1", "extra": {"kind": "carrier_pigeon"}}
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_STREAM", json.dumps(kinds))
    with pytest.raises(ConfigurationError, match=r"unknown kind of streams 'carrier_pigeon'; known: redis"):
        StreamTrigger(**{**FIELDS, "conn_id": None}).look()
