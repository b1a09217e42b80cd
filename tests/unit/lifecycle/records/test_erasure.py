"""How entities are named, and that one value is the same in whatever type a table keeps it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.backends.tables.entities import ForgottenEntities
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.erasure import SETTLES, Search, parse_entity, value_text
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.erasures import Erasures

NOW = datetime.now(UTC)
BEFORE = Interval(start=NOW - timedelta(days=2), end=NOW - timedelta(days=1))
AFTER = Interval(start=NOW + timedelta(days=1), end=NOW + timedelta(days=2))


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("customer=4711", {"customer": "4711"}),
        ("order=7,line=2", {"order": "7", "line": "2"}),
        ("order = 7", {"order": " 7"}),
        ("mail=a=b", {"mail": "a=b"}),
        ('{"name": "Lee, Ada", "number": 7}', {"name": "Lee, Ada", "number": "7"}),
    ],
)
def test_entities_are_named(text: str, entity: dict[str, str]) -> None:
    """By columns and values."""
    assert parse_entity(text) == entity


@pytest.mark.parametrize("text", ["", "4711", "customer=", "=4711", "a=1,2", "{", "{}", "[1]", '{"a": null}'])
def test_what_names_nobody_is_refused(text: str) -> None:
    """With what to write."""
    with pytest.raises(ConfigurationError, match="names no entity; give column=value"):
        parse_entity(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        ("7", "7"),
        ("07", "07"),
        (True, "true"),
        (datetime.fromisoformat("2024-01-01"), "2024-01-01T00:00:00+00:00"),
        (None, None),
        (float("nan"), None),
    ],
)
def test_a_value_has_one_text(value: Any, text: str | None) -> None:
    """Whichever type it has; one that is missing has none."""
    assert value_text(value) == text


def forgotten(folder: Path, *entities: str) -> ForgottenEntities:
    """Return those of a request of now."""
    store = open_store(str(folder))
    Erasures(store, "shop").ask(map(parse_entity, entities), "tests")
    return ForgottenEntities.of(store, "shop")


TABLES = {
    "text": pa.array(["7", "8", None]),
    "whole numbers": pa.array([7, 8, None]),
    "numbers": pa.array([7.0, 8.0, float("nan")]),
    "codes": pa.array(["7", "8", None]).dictionary_encode(),
    "long text": pa.array(["7", "8", None], pa.large_string()),
}


@pytest.mark.parametrize("kind", TABLES)
def test_rows_are_found_in_columns_of_any_type(tmp_path: Path, kind: str) -> None:
    """By the value's text; rows without a value are nobody's."""
    entities, table = forgotten(tmp_path, "customer=7"), pa.table({"customer": TABLES[kind], "n": [1, 2, 3]})
    assert entities.left(table).column("n").to_pylist() == [2, 3]
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1)
    taken, rows = entities.without(tmp_path / "t.parquet")
    assert [*rows.values()] == [1]
    left = pq.read_table(pa.BufferReader(taken[tmp_path / "t.parquet"]))
    assert left.column("n").to_pylist() == [2, 3]
    assert left.schema.equals(table.schema, check_metadata=True)


def test_two_columns_are_one_name(tmp_path: Path) -> None:
    """Only rows that have both values, in whichever order they are named."""
    table = pa.table({"line": [1, 1, 2, 2], "order": ["a", "b", "a", "b"]})
    for name in ("order=a,line=2", "line=2,order=a"):
        left = forgotten(tmp_path, name).left(table).to_pylist()
        assert {"line": 2, "order": "a"} not in left
        assert len(left) == 3
    assert len(Erasures(open_store(str(tmp_path)), "shop").all()) == 1, "the same request"


def test_rows_since_the_request_stay(tmp_path: Path) -> None:
    """By their moment where the table has one, else by its interval."""
    entities = forgotten(tmp_path, "customer=7")
    plain = pa.table({"customer": [7, 8]})
    assert [len(entities.left(plain, interval)) for interval in (BEFORE, AFTER, None)] == [1, 2, 1]
    moments = pa.array([NOW - timedelta(hours=1), NOW + timedelta(hours=1), None], pa.timestamp("us", "UTC"))
    timed = pa.table({"customer": [7, 7, 7], "event_time": moments})
    assert entities.left(timed, BEFORE).column("event_time").to_pylist() == [moments[1].as_py()]


def test_a_request_is_due_until_it_is_settled(tmp_path: Path) -> None:
    """Before any search; after one that was cut off; and once more when what was under way has ended."""
    erasures = Erasures(open_store(str(tmp_path)), "shop")
    request = erasures.ask([{"customer": "7"}], "tests")
    assert request.is_due(request.at)
    at = request.at + timedelta(seconds=1)
    assert erasures.searched(request.key, Search(began=at, rows={"clean": 3})).is_due(at)
    done = erasures.searched(request.key, Search(began=at))
    assert not done.is_due(at)
    assert done.is_due(at + SETTLES)
    assert not erasures.searched(request.key, Search(began=at + SETTLES)).is_due(at + 9 * SETTLES)


def test_a_request_that_is_made_again_is_searched_for_again(tmp_path: Path) -> None:
    """It is the same, with what was found before, and of a later moment."""
    erasures = Erasures(open_store(str(tmp_path)), "shop")
    request = erasures.ask([{"customer": "7"}], "tests")
    erasures.searched(request.key, Search(began=datetime.now(UTC)))
    again = erasures.ask([{"customer": "7"}], "tests")
    assert (again.key, len(again.searches)) == (request.key, 1)
    assert again.is_due(again.at)


def test_nothing_is_said_of_the_value(tmp_path: Path) -> None:
    """What is kept has a keyed hash of it, and another key makes it another."""
    texts = []
    for name in ("one", "two"):
        forgotten(tmp_path / name, "customer=zoe@shop.example")
        (file,) = (tmp_path / name).rglob("request.json")
        texts.append(file.read_text())
    assert all("zoe" not in text for text in texts)
    assert len({text[text.index("digests") :] for text in texts}) == 2
