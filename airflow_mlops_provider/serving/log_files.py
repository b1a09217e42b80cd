"""What files of prediction logs say by their names: which may hold an interval's predictions, and what is unread."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_mlops_provider.lifecycle.interval import Interval

_FILE = re.compile(r"(?:.*/)?(\d{4}-\d\d-\d\d)\.[^/]*-(\d{1,12}\.\d{3})-\d+\.jsonl", re.ASCII)


def began(file: str) -> datetime | None:
    """Return when a file's first record was predicted, by its name; None for a file that is no server's."""
    named = _FILE.fullmatch(file)
    return datetime.fromtimestamp(float(named[2]), UTC) if named else None


def may_hold(file: str, interval: Interval) -> bool:
    """Say whether a file may hold predictions of an interval, by its name: its day, and when it began."""
    begins, named = began(file), _FILE.fullmatch(file)
    if begins is None or named is None:
        return False
    day = datetime.fromisoformat(f"{named[1]}T00:00:00+00:00")
    return begins - timedelta(milliseconds=1) < interval.end and interval.start < day + timedelta(days=1)


def uncollected(
    cron: str, files: Sequence[str], known: Mapping[Interval | None, Mapping[str, Any]], until: datetime
) -> list[Interval]:
    """Return the intervals that ended by some moment with a file that may hold predictions of them, and is not read.

    :param known: of the intervals that were collected, the facts.
    """
    from croniter import croniter

    waiting: set[Interval] = set()
    for file in files:
        begins = began(file)
        if begins is None:
            continue
        start = croniter(cron, begins).get_prev(datetime)
        edges = croniter(cron, start)
        interval = Interval(start=start, end=edges.get_next(datetime))
        while interval.end <= until and interval.start < begins + timedelta(days=1):
            if may_hold(file, interval) and file not in known.get(interval, {}).get("files", {}):
                waiting.add(interval)
            interval = Interval(start=interval.end, end=edges.get_next(datetime))
    return sorted(waiting, key=lambda interval: interval.start)
