"""The log of predictions: JSON lines, one file per process and day, written by a thread of their own.

A line has a prediction's ``id``, the caller's ``row``, the ``inputs`` that the model saw, and what was said by which
version when, and to which caller; a process that is killed leaves a broken line at a file's end at most.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import pandas as pd
from pydantic_core import to_json

from airflow_mlops_provider.serving.log_files import is_there, locked

log = logging.getLogger(__name__)
Record = dict[str, Any]
MAX_WAITING = 128 * 1024 * 1024
SETTLE_SECONDS = 1.0
_BYTES = 8  # of a model input that waits to be written


class Batch(NamedTuple):
    """A request's rows with their ``event_time``, what the model saw and said of each, its bytes and its caller.

    ``shadow``: nobody was answered so; it was predicted to compare two versions.
    """

    rows: pd.DataFrame
    inputs: pd.DataFrame
    predictions: list[float]
    version: int
    request_id: str
    predicted_at: datetime
    body: int = 0
    caller: str = ""
    shadow: bool = False

    @property
    def size(self) -> int:
        """The bytes that it takes while it waits."""
        return self.body + _BYTES * int(self.inputs.size)


def row_ids(request_id: str, count: int) -> list[str]:
    """Return the ids of a request's predictions: no two of a server's calls share one, if no two share theirs."""
    return [f"{request_id}-{number}" for number in range(count)]


class PredictionLog:
    """Appends predictions in a thread of its own.

    :param limit: rows that may wait; beyond it, or with more than ``MAX_WAITING`` bytes of requests, a batch is
        dropped, and ``on_drop`` is called with their number.
    :param part: bytes after which a file is followed by another.
    :param total: bytes that the folder may hold; beyond it what comes is dropped until files were moved away.
    """

    def __init__(
        self,
        folder: Path,
        limit: int = 100_000,
        on_drop: Callable[[int], None] = lambda _: None,
        part: int = 64 * 1024 * 1024,
        total: int = 10 * 1024**3,
    ) -> None:
        self.folder, self.limit, self._on_drop, self._part_size, self._total = folder, limit, on_drop, part, total
        self._count, self._bytes, self._part, self._written = 0, 0, 0, 0
        self._closed = self._failing = False
        self._lock = threading.Lock()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="prediction-log")
        self._file: IO[str] | None = None
        self._day = ""
        self._settled = self._writer.submit(lambda: None)

    def append(self, batch: Batch) -> bool:
        """Take predictions for writing; return at once, False if they were dropped for lack of room."""
        count = len(batch.rows)
        with self._lock:
            if not self._closed and self._count + count <= self.limit and self._bytes + batch.size <= MAX_WAITING:
                self._count += count
                self._bytes += batch.size
                self._writer.submit(self._record, batch)
                return True
        self._on_drop(count)
        return False

    def settle(self) -> None:
        """Wait until all that was taken is with the operating system, or counted as dropped.

        Not for long, and not again before it is there: a disk that hangs must not end the predictions as well.
        """
        with self._lock:
            if self._closed or not self._settled.done():
                return
            self._settled = self._writer.submit(lambda: None)
        wait([self._settled], SETTLE_SECONDS)

    def close(self) -> None:
        """Write what waits, then end."""
        with self._lock:
            self._closed = True
        self._writer.shutdown()
        self._end_part()

    def _record(self, batch: Batch) -> None:
        try:
            self._write(batch)
            self._failing = False
        except Exception as error:  # noqa: BLE001 - a full disk or an odd value must not end the recording
            if not self._failing:  # a line for the first of a row of failures; the metric counts them all
                log.error("predictions can't be recorded in %s: %s", self.folder, error)  # noqa: TRY400
            self._failing = True
            self._on_drop(len(batch.rows))
            self._end_part()
        with self._lock:
            self._count -= len(batch.rows)
            self._bytes -= batch.size

    def _write(self, batch: Batch) -> None:
        text = "".join(to_json(record).decode() + "\n" for record in _records(batch))
        while True:
            file = self._open(batch.predicted_at)
            with locked(file):
                if is_there(file):
                    file.write(text)
                    file.flush()
                    self._written += len(text)
                    return
            self._end_part()  # it was moved away, or replaced by one without the rows of whom is to be forgotten

    def _open(self, moment: datetime) -> IO[str]:
        day = f"{moment:%Y-%m-%d}"
        if self._file is None or day != self._day or self._written >= self._part_size:
            self._end_part()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_size()
            self._written, self._day, self._part = 0, day, self._part + 1
            # A name never used before: only then can a broken line be nowhere but at a file's end.
            name = f"{day}.{socket.gethostname()}-{os.getpid()}-{moment.timestamp():.3f}-{self._part}.jsonl"
            self._file = (self.folder / name).open("x", encoding="utf-8")
        return self._file

    def _check_size(self) -> None:
        size = sum(file.stat().st_size for file in self.folder.glob("*.jsonl"))
        if size >= self._total:
            raise OSError(f"it holds {size:,} of at most {self._total:,} bytes; move older files away")

    def _end_part(self) -> None:
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError:
            log.exception("the prediction log %s did not close cleanly", file)


def _records(batch: Batch) -> list[Record]:
    call: Record = {"version": batch.version, "request_id": batch.request_id}
    call |= {"predicted_at": batch.predicted_at.isoformat(), **({"caller": batch.caller} if batch.caller else {})}
    call |= {"shadow": True} if batch.shadow else {}
    ids = row_ids(batch.request_id, len(batch.rows))
    parts = zip(ids, _rows(batch.rows), _rows(batch.inputs), batch.predictions, strict=True)
    return [
        {"id": own, "row": row, "inputs": inputs, "prediction": prediction, **call}
        for own, row, inputs, prediction in parts
    ]


def _rows(frame: pd.DataFrame) -> list[Record]:
    columns = [_values(frame[name]) for name in frame]
    return [dict(zip(frame.columns, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: pd.Series) -> list[Any]:
    """Return a column as JSON has it: times in ISO 8601, and None for what is missing."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return [None if moment is pd.NaT else moment.isoformat() for moment in pd.DatetimeIndex(column).to_pydatetime()]
    return [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
