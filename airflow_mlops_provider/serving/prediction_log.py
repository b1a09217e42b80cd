"""The record of what was predicted: JSON lines, one file per process and day, written off the request path."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import pandas as pd

from airflow_mlops_provider.exceptions import IntegrityError

log = logging.getLogger(__name__)
Record = dict[str, Any]


class PredictionLog:
    """Appends records in a thread of its own.

    :param folder: where the files go.
    :param limit: records that may wait; beyond it a batch is dropped, and ``on_drop`` is told how many.
    """

    def __init__(self, folder: Path, limit: int = 100_000, on_drop: Callable[[int], None] = lambda count: None) -> None:
        self.folder, self.limit, self._on_drop = folder, limit, on_drop
        self._waiting: deque[list[Record]] = deque()
        self._count, self._part, self._closed = 0, 0, False
        self._changed = threading.Condition()
        self._file: IO[str] | None = None
        self._day = ""
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def append(self, records: list[Record]) -> bool:
        """Take records for writing; return at once, False if they were dropped for lack of room."""
        with self._changed:
            if self._closed or self._count + len(records) > self.limit:
                self._on_drop(len(records))
                return False
            self._waiting.append(records)
            self._count += len(records)
            self._changed.notify_all()
        return True

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was taken is written; False if it still is not after ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, timeout)

    def close(self) -> None:
        """Write what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while batches := self._take():
            records = [record for batch in batches for record in batch]
            try:
                self._write(records)
            except OSError as error:
                log.error("%d predictions could not be recorded in %s: %s", len(records), self.folder, error)
                self._on_drop(len(records))
                self._end_part()
            with self._changed:
                self._count -= len(records)
                self._changed.notify_all()
        self._end_part()

    def _take(self) -> list[list[Record]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            batches = list(self._waiting)
            self._waiting.clear()
            return batches

    def _write(self, records: list[Record]) -> None:
        file = self._open(datetime.now(timezone.utc).strftime("%Y-%m-%d"))
        file.write("".join(json.dumps(record, default=_plain) + "\n" for record in records))
        file.flush()

    def _open(self, day: str) -> IO[str]:
        if self._file is None or day != self._day:
            self._end_part()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._day, self._part = day, self._part + 1
            # A name never used before: only then can a broken line stand nowhere but at a file's end.
            name = f"{day}.{socket.gethostname()}-{os.getpid()}-{datetime.now().timestamp():.3f}-{self._part}.jsonl"
            self._file = (self.folder / name).open("x", encoding="utf-8")
        return self._file

    def _end_part(self) -> None:
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError as error:
            log.error("the prediction log %s did not close cleanly: %s", file, error)


def records(rows: pd.DataFrame, predictions: list[float], version: int, request_id: str) -> list[Record]:
    """Return one record per row: the row with its ``event_time``, the prediction, and what it came from."""
    told = {"version": version, "request_id": request_id, "predicted_at": datetime.now(timezone.utc)}
    return [
        {"row": row, "prediction": prediction, **told}
        for row, prediction in zip(rows.to_dict(orient="records"), predictions, strict=True)
    ]


def read_log(folder: Path) -> pd.DataFrame:
    """Return every recorded prediction: the rows' own columns, then prediction, version, request_id, predicted_at.

    The last line of a file may be cut off, by a crash or because it is being written: it is left out.

    :raises IntegrityError: for a broken line anywhere else.
    """
    found = [record for path in sorted(folder.glob("*.jsonl")) for record in _lines(path)]
    frame = pd.DataFrame([{**record.pop("row"), **record} for record in found])
    for column in ("event_time", "predicted_at"):
        if column in frame:
            frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
    return frame


def _lines(path: Path) -> Iterator[Record]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is nothing, or cut off
        try:
            yield json.loads(line)
        except ValueError:
            raise IntegrityError(f"{path}, line {number}: not a prediction: {line[:80]!r}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return None if value is pd.NaT else value.isoformat()
    return value.item()
