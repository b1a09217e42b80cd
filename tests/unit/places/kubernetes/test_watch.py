"""A pod's log on its way into the task's: each line once, in bounds."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

from airflow_mlops_provider.places.kubernetes.watch import CUT, LEFT_OUT, LogBounds, LogCursor


def log(count: int, step: timedelta = timedelta(milliseconds=5), same: int = 1) -> list[str]:
    """Return lines as the API gives them with timestamps, ``same`` of them at each moment."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return [f"{start + step * (n // same):%Y-%m-%dT%H:%M:%S.%f}000Z line {n}\n" for n in range(count)]


def test_each_line_once() -> None:
    """However looks overlap, also in the middle of one moment and across a restart, each line comes once, in order."""
    lines, chance = log(200, same=3), random.Random(1)
    for _ in range(20):
        tail, got, seen = LogCursor(LogBounds()), [], 0
        while seen < len(lines):
            begin = max(0, seen - chance.randint(1, 10)) // 3 * 3
            seen = min(len(lines), seen + chance.randint(0, 30))
            got += list(tail.feed("".join(lines[begin:seen]).encode()))
            tail = LogCursor(LogBounds(), json.loads(json.dumps(tail.state)))
        assert got == [f"line {n}" for n in range(200)]


def test_times_without_trailing_zeros_are_in_order() -> None:
    """A node that leaves trailing zeros away says the same times."""
    tail = LogCursor(LogBounds())
    first = "2024-01-01T00:00:00Z a\n2024-01-01T00:00:00.12Z b\n"
    assert list(tail.feed(first.encode())) == ["a", "b"]
    assert list(tail.feed(f"{first}2024-01-01T00:00:00.123Z c\n2024-01-01T00:00:01Z\n".encode())) == ["c", ""]


def test_what_is_left_out_is_said() -> None:
    """A look that does not reach back to the last line says so; one that does, does not."""
    lines, tail = log(100), LogCursor(LogBounds(lines=10))
    assert list(tail.feed("".join(lines[:10]).encode()))[:1] == ["line 0"]
    assert list(tail.feed("".join(lines[9:15]).encode()))[:1] == ["line 10"]
    assert list(tail.feed("".join(lines[50:60]).encode()))[:2] == [LEFT_OUT, "line 50"]


def test_the_whole_is_bounded() -> None:
    """At its bound the log is cut with a word, once, and then nothing more is asked or passed on."""
    tail = LogCursor(LogBounds(total=50))
    got = list(tail.feed("".join(log(100)).encode()))
    assert got[-1] == CUT.format(total=50)
    assert sum(len(line) + 1 for line in got[:-1]) <= 50
    assert tail.full
    assert list(tail.feed("".join(log(200)).encode())) == []


def test_any_bytes_pass() -> None:
    """A half line, a line without a time, and bytes that are no text stop nothing."""
    tail = LogCursor(LogBounds())
    data = b"2024-01-01T00:00:00.1Z \xff\xfe 100%s\nno time\n2024-01-01T00:00:00.2Z whole\n2024-01-01T00:0"
    assert list(tail.feed(data)) == ["\ufffd\ufffd 100%s", "whole"]


def test_it_asks_for_no_more_than_is_new() -> None:
    """The first look asks for the newest lines, the next ones for those since the last one seen."""
    tail = LogCursor(LogBounds(lines=7, total=99))
    assert tail.query() == {"timestamps": True, "tail_lines": 7, "limit_bytes": 99}
    moment = datetime.now(UTC) - timedelta(seconds=30)
    list(tail.feed(f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z a\n".encode()))
    assert 30 <= tail.query()["since_seconds"] <= 33
