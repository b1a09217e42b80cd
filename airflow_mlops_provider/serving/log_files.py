"""Files of prediction logs: what they say by their names, and how lines are taken out while a server writes them."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.storage.artifacts import ArtifactStore, FolderStore
from airflow_mlops_provider.storage.atomic import atomic_write

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


@contextmanager
def locked(file: IO[Any]) -> Iterator[None]:
    """Keep others from an open file, as long as they ask the same way."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def is_there(file: IO[Any]) -> bool:
    """Say whether an open file still lies under its name: it may have been moved away, or replaced."""
    try:
        return os.path.samestat(os.stat(file.name), os.fstat(file.fileno()))  # noqa: PTH116  # beside fstat
    except FileNotFoundError:
        return False


def take_out(store: ArtifactStore, key: str, is_wanted: Callable[[bytes], bool]) -> int:
    """Take those lines out of a log file that are wanted, and return how many; a server may go on writing to it."""

    def left(lines: list[bytes]) -> list[bytes]:
        return [line for line in lines if not is_wanted(line)]

    if not isinstance(store, FolderStore):  # an object in a bucket is whole: nobody writes to it
        lines = store.read(key).splitlines(keepends=True)
        if len(stay := left(lines)) < len(lines):
            store.write(key, b"".join(stay))
        return len(lines) - len(stay)
    path: Path = store.path(key)
    with path.open("rb") as file, locked(file):
        lines = file.read().splitlines(keepends=True)
        if len(stay := left(lines)) < len(lines):
            atomic_write(path, b"".join(stay))
    return len(lines) - len(stay)
