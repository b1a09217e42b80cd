"""Which intervals wait to be collected, by the names of logs' files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.serving.log_files import uncollected

DAY = datetime(2024, 1, 2, tzinfo=UTC)
FILES = [f"2024-01-02.host-7-{(DAY + timedelta(hours=hour)).timestamp():.3f}-1.jsonl" for hour in (3.5, 20.5)]


def test_what_waits_to_be_collected() -> None:
    """Closed intervals that a file may be of, until one collected of it; a file that comes later brings them back."""
    whole, later = Interval(start=DAY, end=DAY + timedelta(days=1)), DAY + timedelta(days=3)
    assert uncollected("@daily", [*FILES, "notes.jsonl"], {}, later) == [whole]
    assert uncollected("@daily", FILES, {}, whole.end - timedelta(seconds=1)) == []
    assert uncollected("@daily", FILES, {whole: {"files": {FILES[0]: "hash"}}}, later) == [whole]
    assert uncollected("@daily", FILES, {whole: {"files": dict.fromkeys(FILES, "hash")}}, later) == []
    hours = uncollected("@hourly", FILES[1:], {}, DAY + timedelta(hours=22))
    assert [hour.start.hour for hour in hours] == [20, 21]
