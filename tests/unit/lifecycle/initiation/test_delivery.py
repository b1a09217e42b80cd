"""A history is cut into few intervals, whole ones, of which the newest count; it ends only if the data do."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.initiation.delivery import FILES, after, begin, delivery_of
from airflow_mlops_provider.lifecycle.initiation.proposal import Delivery
from tests.factories.looked_at import profiled, sklearn

RANDOM = np.random.default_rng(4)


def delivered(freq: str, rows: int, now: str | None = None) -> Delivery:
    """Return how rows at equal steps from 2020 on are delivered."""
    at = pd.date_range("2020-01-01", periods=rows, freq=freq, tz="UTC")
    seen, _ = profiled(pd.DataFrame({"at": at, "x": RANDOM.normal(size=rows)}), label="x", time="at")
    return delivery_of(seen, datetime.fromisoformat(now).replace(tzinfo=UTC) if now else None)


@pytest.mark.parametrize(
    ("freq", "rows", "grain", "intervals"),
    [
        ("min", 600, "hour", 10),
        ("h", 24 * 10, "day", 10),
        ("h", 24 * 100, "week", 15),
        ("D", 400, "month", 14),
        ("D", 1461, "quarter", 16),
        ("D", 3650, "year", 10),
        ("h", 30, "hour", 30),
        ("D", 365 * 44, "year", 16),
        ("YS", 200, "year", 40),
    ],
)
def test_there_are_few_intervals(freq: str, rows: int, grain: str, intervals: int) -> None:
    """At most sixteen; at least four, if a shorter one is not too many; of years of few rows some more."""
    delivery = delivered(freq, rows)
    assert (delivery.grain, delivery.intervals) == (grain, intervals)


def test_a_long_history_is_cut_to_its_newest_intervals() -> None:
    """What is older is no part of any."""
    delivery = delivered("D", 365 * 44)
    assert delivery.schedule.start == datetime(2048, 1, 1, tzinfo=UTC)


def test_an_interval_that_goes_on_is_not_counted() -> None:
    """And there is no end; once the data have ended long ago there is one."""
    going = delivered("D", 100, now="2020-04-09")
    assert (going.grain, going.intervals, going.schedule.end) == ("week", 14, None)
    ended = delivered("D", 100, now="2021-01-01")
    assert (ended.intervals, ended.schedule.end) == (15, datetime(2020, 4, 13, tzinfo=UTC))


def test_without_a_time_there_are_some_files() -> None:
    """The days of which they are have all passed."""
    delivery = delivery_of(profiled(sklearn("iris"))[0], datetime(2026, 1, 1, tzinfo=UTC))
    assert (delivery.by, delivery.intervals) == ("file", FILES)
    assert delivery.schedule.end and delivery.schedule.end < datetime(2026, 1, 1, tzinfo=UTC)


def test_intervals_follow_each_other() -> None:
    """Each begins where the one before it ends, also over the turn of a year."""
    moment = datetime(2023, 12, 27, 15, 30, tzinfo=UTC)
    starts = {grain: begin(moment, grain) for grain in ("hour", "day", "week", "month", "quarter", "year")}
    assert starts["week"] == datetime(2023, 12, 25, tzinfo=UTC)
    assert starts["quarter"] == datetime(2023, 10, 1, tzinfo=UTC)
    assert after(starts["quarter"], "quarter") == after(starts["month"], "month") == datetime(2024, 1, 1, tzinfo=UTC)
    assert after(starts["year"], "year") == datetime(2024, 1, 1, tzinfo=UTC)
