"""Data intervals by their names: few each by its own, many as unbroken runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_mlops_provider.lifecycle.interval import MOST_NAMED, Interval, is_in, spans

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
HOURS = [Interval(start=BEGIN + timedelta(hours=n), end=BEGIN + timedelta(hours=n + 1)) for n in range(5 * MOST_NAMED)]


def test_few_intervals_are_named_each() -> None:
    """Up to sixteen, a reader sees every one."""
    assert spans(HOURS[:MOST_NAMED]) == [str(hour) for hour in HOURS[:MOST_NAMED]]


def test_many_are_named_by_their_runs() -> None:
    """A gap ends a run, and of what lies in a gap nobody says that it was taken."""
    names = spans([*HOURS[:30], *HOURS[31:40], HOURS[50]])
    assert names == [
        "2024-01-01 00:00/2024-01-02 06:00",
        "2024-01-02 07:00/2024-01-02 16:00",
        "2024-01-03 02:00/2024-01-03 03:00",
    ]
    taken = [number for number, hour in enumerate(HOURS) if is_in(hour, names)]
    assert taken == [*range(30), *range(31, 40), 50]


def test_single_names_are_of_single_intervals() -> None:
    """What earlier releases wrote, each interval by its own, reads the same; other words name none."""
    assert [is_in(hour, [str(HOURS[1])]) for hour in HOURS[:3]] == [False, True, False]
    assert not is_in(HOURS[0], ["January", ""])
