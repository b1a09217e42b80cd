"""Intervals, references and the values that they are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.frozen import canonical, digest
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Report, parse_reference

START, END = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)
MONTH = Interval(start=START, end=END)
WHERE: dict[str, Any] = {"uri": "file:///a/b", "hash": "0" * 64, "facts": {"rows": 3}}
REFERENCES = [
    Dataset(**WHERE, interval=MONTH),
    Dataset(**WHERE),
    Model(**WHERE),
    ModelVersion(**WHERE, name="flight_delay", version=2),
    Report(**WHERE, passed=False, broken=("a line",), page="page.html"),
]


def test_a_verdict_is_of_what_was_meant() -> None:
    """A report says what it is about, and is no verdict on anything else; of older releases any may be meant."""
    drift = Report(**WHERE, about="drift", passed=True)
    assert drift.verdict("drift") and Report(**WHERE, passed=True).verdict("search")
    with pytest.raises(IntegrityError, match="is a report about drift, not about expectations"):
        drift.verdict("expectations")


def test_an_interval_is_half_open() -> None:
    """Its start lies in it, its end does not, and so does nothing outside."""
    assert START in MONTH
    assert END - timedelta(microseconds=1) in MONTH
    assert END not in MONTH
    assert START - timedelta(microseconds=1) not in MONTH


def test_an_interval_is_in_utc() -> None:
    """The same span written in another zone is the same value, under the same name."""
    there = timezone(timedelta(hours=-5))
    same = Interval(start=START.astimezone(there), end=END.astimezone(there))
    assert same == MONTH
    assert same.key == "20130101T000000Z"
    assert str(same) == "2013-01-01 00:00/2013-02-01 00:00"


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (END, START, "must end after it starts"),
        (START, START, "must end after it starts"),
        (START.replace(tzinfo=None), END, r"has no time zone; give one, such as 2013-01-01 00:00:00\+00:00"),
    ],
)
def test_an_impossible_interval_is_refused(start: datetime, end: datetime, said: str) -> None:
    """A span that is empty, runs backwards or has no zone is refused, with what to do."""
    with pytest.raises(ValidationError, match=said):
        Interval(start=start, end=end)


def test_interval_names_sort_by_time() -> None:
    """Names sort as their intervals do, across days, months and years."""
    moments = [
        datetime(year, month, 9, hour, tzinfo=UTC) for year in (2012, 2013) for month in (2, 11) for hour in (3, 20)
    ]
    keys = [Interval(start=moment, end=moment + timedelta(hours=1)).key for moment in moments]
    assert keys == sorted(keys)


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda one: one.kind)
def test_a_reference_survives_json(reference: Dataset) -> None:
    """A reference read back from its JSON is the same value of the same class."""
    back = parse_reference(reference.to_json())
    assert back == reference
    assert type(back) is type(reference)


def test_an_unknown_kind_names_the_known_ones() -> None:
    """A JSON value of an unknown kind is refused by a message that lists the kinds there are."""
    with pytest.raises(
        ValidationError, match=r"'dataset', 'dataset_list', 'model', 'model_version', 'image', 'report'"
    ):
        parse_reference({**WHERE, "kind": "table"})


def test_values_are_immutable_and_strict() -> None:
    """A reference can't be changed, and an unknown field is refused, not ignored."""
    with pytest.raises(ValidationError, match="frozen"):
        REFERENCES[0].uri = "file:///elsewhere"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="rows"):
        Dataset(**WHERE, rows=3)  # type: ignore[call-arg]


def test_a_digest_follows_the_value_alone() -> None:
    """The order of keys changes nothing; any value does, and so does its type."""
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert len({digest(value) for value in ({"a": 1}, {"a": 2}, {"a": "1"}, {"a": [1]}, {"b": 1}, {"a": None})}) == 6
    assert canonical({"b": "é", "a": 1}) == '{"a":1,"b":"é"}'.encode()
