"""Which column may be the time, and which the label: by its name, its values and its place."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_mlops_provider.lifecycle.initiation.candidates import labels, plain, times
from airflow_mlops_provider.lifecycle.initiation.profile import ColumnProfile

BEGIN, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)


def moments(name: str, missing: float = 0.0, begin: datetime = BEGIN, ordered: float = 0.5) -> ColumnProfile:
    """Return a column of times."""
    facts = {"distinct": 100, "missing": missing, "span": (begin, END), "ordered": ordered}
    return ColumnProfile(name=name, type="timestamp", **facts)


def numbers(name: str, low: float, high: float, distinct: int) -> ColumnProfile:
    """Return a column of whole numbers."""
    return ColumnProfile(name=name, type="int64", whole=True, distinct=distinct, low=low, high=high)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (moments("created_at"), moments("updated_at")),
        (moments("opened"), moments("closed", missing=0.3)),
        (moments("date"), moments("date_of_birth", begin=datetime(1950, 1, 1, tzinfo=UTC))),
        (moments("a", ordered=1.0), moments("b")),
        (moments("event_time"), moments("due_date")),
    ],
)
def test_the_likelier_time_is_first(first: ColumnProfile, second: ColumnProfile) -> None:
    """Whatever their order in the table."""
    for given in ((first, second), (second, first)):
        assert [each.column for each in times(given)] == [first.name, second.name]


def test_parts_of_a_time_are_known_together() -> None:
    """Year, month and day make a time; a year alone is a poor one; two years are none."""
    parts = numbers("year", 2010, 2020, 11), numbers("month", 1, 12, 12), numbers("day", 1, 31, 31)
    assert times(parts)[0].parts == ("year", "month", "day")
    assert [each.parts for each in times(parts[:1])] == [("year",)]
    assert times([numbers("year", 1999, 2008, 2)]) == ()
    assert times([numbers("year", 1, 7, 7)]) == ()


@pytest.mark.parametrize("name", ["target", "Churned", "is_fraud", "price", "customerLabel", "species", "y"])
def test_a_label_by_its_name(name: str) -> None:
    """It counts more than the last place."""
    columns = numbers("a", 0, 90, 50), numbers(name, 0, 90, 50), numbers("b", 0, 90, 50)
    assert labels(columns, 1000)[0].column == name


def test_what_is_no_label() -> None:
    """Keys, times, constants, prose, and who can be named; each that may be has its reasons."""
    columns = (
        ColumnProfile(name="id", type="string", distinct=100),
        moments("at"),
        numbers("constant", 1, 1, 1),
        ColumnProfile(name="comment", type="string", distinct=90),
        ColumnProfile(name="sex", type="string", distinct=2, personal="its name says so"),
        ColumnProfile(name="kind", type="string", distinct=3),
    )
    (only,) = labels(columns, 100, {"at"})
    assert only.column == "kind" and only.reasons


@pytest.mark.parametrize(
    ("name", "words"), [("petalLength", "petal_length"), ("Miles per (gallon)", "miles_per_gallon")]
)
def test_plain_names(name: str, words: str) -> None:
    """Names are compared in one form."""
    assert plain(name) == words
