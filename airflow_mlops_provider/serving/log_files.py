"""What files of prediction logs say by their names: which may hold an interval's predictions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

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
