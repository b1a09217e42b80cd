"""Data intervals: the half-open spans of time in which data arrives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import field_validator, model_validator

from airflow_mlops_provider.lifecycle.frozen import Frozen

#: So many intervals are named one by one: what a reference says of them travels with it.
MOST_NAMED = 16


class Interval(Frozen):
    """A half-open span ``[start, end)`` in UTC."""

    start: datetime
    end: datetime

    @field_validator("start", "end")
    @classmethod
    def _in_utc(cls, moment: datetime) -> datetime:
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone; give one, such as {moment.replace(tzinfo=UTC)}")
        return moment.astimezone(UTC)

    @model_validator(mode="after")
    def _forward(self) -> Interval:
        if self.end <= self.start:
            raise ValueError(f"an interval must end after it starts, not {self.start} to {self.end}")
        return self

    @property
    def key(self) -> str:
        """The name under which this interval's data is filed: its start, sortable as text."""
        return self.start.strftime("%Y%m%dT%H%M%SZ")

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M}/{self.end:%Y-%m-%d %H:%M}"


def interval_of(context: Mapping[str, Any]) -> Interval | None:
    """Return a DAG run's data interval by its context; None for a run that has none or an empty one."""
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    return Interval(start=start, end=end) if start and end and end > start else None


def spans(intervals: Sequence[Interval]) -> list[str]:
    """Return the name of each of some intervals; of many, given oldest first, that of each unbroken run of them."""
    if len(intervals) <= MOST_NAMED:
        return list(map(str, intervals))
    runs: list[Interval] = []
    for interval in intervals:
        begins = runs.pop().start if runs and runs[-1].end == interval.start else interval.start
        runs.append(Interval(start=begins, end=interval.end))
    return list(map(str, runs))


def is_in(interval: Interval, names: Iterable[str]) -> bool:
    """Say whether names, as :func:`spans` gives them, are of an interval among others."""
    begins, _, ends = str(interval).partition("/")
    return any(first <= begins and ends <= last for first, _, last in (name.partition("/") for name in names))
