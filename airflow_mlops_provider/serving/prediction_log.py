"""The log of predictions: JSON lines, one file per process and day, written by a thread of their own.

A line has a prediction's ``id``, the caller's ``row``, the ``inputs`` that the model saw, and what was said by which
version when, and to which caller; a process that is killed leaves a broken line at a file's end at most.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from airflow_mlops_provider.serving.log_files import is_there, locked

log = logging.getLogger(__name__)
MAX_WAITING = 128 * 1024 * 1024
SETTLE_SECONDS = 1.0


class Batch(NamedTuple):
    """A request's rows with their ``event_time``, what the model saw and said of each, and its caller.

    Rows and inputs are dicts, or msgspec's objects. ``size``: the bytes that it takes while it waits.
    ``shadow``: nobody was answered so; it was predicted to compare two versions.
    """

    rows: Sequence[Any]
    inputs: Sequence[Any]
    predictions: list[float]
    version: int
    request_id: str
    predicted_at: datetime
    size: int = 0
    caller: str = ""
    shadow: bool = False


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    id: str
    row: Any
    inputs: Any
    prediction: float | list[float]
    version: int
    request_id: str
    predicted_at: datetime
    caller: str = ""
    shadow: bool = False


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
        self._file: IO[bytes] | None = None
        self._day = ""
        self._last: Future[None] | None = None
        self._overdue: Future[None] | None = None

    def append(self, *batches: Batch) -> bool:
        """Take predictions for writing; return at once, False if some were dropped for lack of room."""
        with self._lock:
            taken = [batch for batch in batches if self._takes(batch)]
            if taken:
                self._last = self._writer.submit(self._record, taken)
        if dropped := sum(len(batch.rows) for batch in batches) - sum(len(batch.rows) for batch in taken):
            self._on_drop(dropped)
        return not dropped

    def _takes(self, batch: Batch) -> bool:
        count = len(batch.rows)
        if self._closed or self._count + count > self.limit or self._bytes + batch.size > MAX_WAITING:
            return False
        self._count += count
        self._bytes += batch.size
        return True

    def after(self, done: Callable[[], None]) -> None:
        """Call a function, in the log's own thread, once all that was taken is with the operating system or dropped."""
        with self._lock:
            if not self._closed:
                self._writer.submit(done)
                return
        done()

    def settle(self) -> None:
        """Wait until all that was taken is with the operating system, or counted as dropped.

        Not for long, and not again before it is there: a disk that hangs must not end the predictions as well.
        """
        with self._lock:
            last, overdue = self._last, self._overdue
        if last is None or (overdue is not None and not overdue.done()):
            return
        with suppress(TimeoutError):
            last.result(SETTLE_SECONDS)
            return
        self._overdue = last

    def close(self) -> None:
        """Write what waits, then end."""
        with self._lock:
            self._closed = True
        self._writer.shutdown()
        self._end_part()

    def _record(self, batches: Sequence[Batch]) -> None:
        lines: list[bytes] = []
        written: list[Batch] = []
        for batch in batches:
            try:
                lines.append(_ENCODER.encode_lines(_lines(batch)))
                written.append(batch)
            except Exception as error:  # noqa: BLE001 - an odd value spoils no other call's
                self._fail([batch], error)
        try:
            self._write(b"".join(lines), batches[0].predicted_at)
            self._failing = len(written) < len(batches)
        except Exception as error:  # noqa: BLE001 - a full disk must not end the recording
            self._fail(written, error)
        with self._lock:
            self._count -= sum(len(batch.rows) for batch in batches)
            self._bytes -= sum(batch.size for batch in batches)

    def _fail(self, batches: Sequence[Batch], error: Exception) -> None:
        if not self._failing:  # a line for the first of a row of failures; the metric counts them all
            log.error("predictions can't be recorded in %s: %s", self.folder, error)
        self._failing = True
        self._on_drop(sum(len(batch.rows) for batch in batches))
        self._end_part()

    def _write(self, text: bytes, moment: datetime) -> None:
        while text:
            file = self._open(moment)
            with locked(file):
                if is_there(file):
                    file.write(text)
                    file.flush()
                    self._written += len(text)
                    return
            self._end_part()  # it was moved away, or replaced by one without the rows of whom is to be forgotten

    def _open(self, moment: datetime) -> IO[bytes]:
        day = f"{moment:%Y-%m-%d}"
        if self._file is None or day != self._day or self._written >= self._part_size:
            self._end_part()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_size()
            self._written, self._day, self._part = 0, day, self._part + 1
            # A name never used before: only then can a broken line be nowhere but at a file's end.
            name = f"{day}.{socket.gethostname()}-{os.getpid()}-{moment.timestamp():.3f}-{self._part}.jsonl"
            self._file = (self.folder / name).open("xb")
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


def _lines(batch: Batch) -> list[_Line]:
    _, _, _, version, request_id, at, _, caller, shadow = batch
    named = zip(row_ids(request_id, len(batch.rows)), batch.rows, batch.inputs, batch.predictions, strict=True)
    return [_Line(own, row, inputs, said, version, request_id, at, caller, shadow) for own, row, inputs, said in named]


def _plain(value: Any) -> Any:
    """Return what the encoder does not know, as a product's own ``assemble`` may give it."""
    import pandas as pd

    return None if pd.isna(value) else value.item() if hasattr(value, "item") else str(value)


# Of numbers, what is missing or infinite becomes null.
_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
