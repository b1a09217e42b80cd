"""Calls that are answered in the background, and their answers, as files: any worker can say what became of one.

Each has a folder by its random id: its state as of now, its body until it is answered, its answer once that is whole.
Its worker holds a lock, which the kernel frees however that ends: what was not done by then has failed.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from fastapi import HTTPException
from pydantic import BaseModel, Field

from airflow_mlops_provider.exceptions import BackendError

#: Seconds that an answer can be fetched, and how many calls are kept: in all, and of a caller who is known by name.
KEEP_SECONDS, MAX_CALLS, MAX_OF_CALLER = 3600.0, 100, 25
#: Bytes up to which further bodies are taken, and answers written: less than streams leave of a pod's tmpSize.
MAX_TAKEN, MAX_BYTES = 160 * 1024**2, 320 * 1024**2
_ID = re.compile(r"[A-Za-z0-9_-]{32}")
_STATE = "state.json"
BODY, UNFINISHED, RESULT = "body", "unfinished", "result"


class BackgroundCall(BaseModel):
    """What became of a call that is answered in the background."""

    id: str
    request_id: str = Field(description="Names its predictions: each thousand rows are REQUEST-ID.NUMBER.")
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    taken: datetime
    rows_done: int = 0
    rows: int | None = Field(None, description="How many it has, once that is known.")
    version: int | None = Field(None, description="The release that answers all of it.")
    expires: datetime | None = Field(None, description="When it goes away; it does not before it is done or failed.")
    result: str | None = Field(None, description="Where the answer is, once it is done.")
    status: int | None = Field(None, description="Of a failed one: the status that it would have been refused with.")
    detail: str | None = Field(None, description="Of a failed one: which row can't be predicted, and why.")


class KeptCall(BackgroundCall):
    """What its worker keeps of one: who may see it, which worker that is, and how body and answer are written."""

    caller: str
    owner: str
    given: str
    wanted: str

    @property
    def is_open(self) -> bool:
        """Whether there is no answer to it yet, and may be one."""
        return self.state in {"waiting", "running"}

    @property
    def is_over(self) -> bool:
        """Whether it has expired."""
        return self.expires is not None and self.expires < datetime.now(UTC)

    def public(self) -> bytes:
        """Return what its caller is to know, as JSON."""
        return self.model_dump_json(include={*BackgroundCall.model_fields}).encode()

    def fail(self, status: int, detail: str, at: datetime) -> None:
        """Set why there will be no answer."""
        self.state, self.status, self.detail = "failed", status, detail
        self.expires = at + timedelta(seconds=KEEP_SECONDS)

    def succeed(self) -> None:
        """Set that the answer is there."""
        self.state, self.rows, self.result = "done", self.rows_done, f"/predictions/{self.id}/result"
        self.expires = datetime.now(UTC) + timedelta(seconds=KEEP_SECONDS)


class KeptCalls:
    """The folder of such calls.

    :param shared: one for all workers, which who started them removes; by default one that goes with this process.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self._shared, self._folder, self._owner = shared, Path(), f"{secrets.token_hex(8)}.lock"

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep calls until this is left; from then on those that are not done have failed, or are gone."""
        self._folder = self._shared or Path(tempfile.mkdtemp(prefix="predictions-"))
        self._folder.mkdir(mode=0o700, exist_ok=True)
        try:
            with (self._folder / self._owner).open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        finally:
            if self._shared is None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, caller: str, request_id: str, given: str, wanted: str) -> KeptCall:
        """Return a new call. :raises HTTPException: if as many as may be are kept (429), or too many bytes (507)."""
        callers = [known.caller for known in self.sweep()]
        if len(callers) >= MAX_CALLS:
            raise HTTPException(429, f"{MAX_CALLS} background calls are kept; delete those whose result you have")
        if caller and callers.count(caller) >= MAX_OF_CALLER:
            raise HTTPException(429, f"{MAX_OF_CALLER} background calls of yours are kept; delete some of them")
        self.check_room(MAX_TAKEN)
        kept = KeptCall(
            id=secrets.token_urlsafe(24), request_id=request_id, taken=datetime.now(UTC),
            caller=caller, owner=self._owner, given=given, wanted=wanted,
        )  # fmt: skip
        try:
            self.path(kept, "").mkdir(mode=0o700)
            self.write(kept)
        except OSError as error:
            self.remove(kept)
            raise BackendError(f"the call can't be kept: {error.strerror}") from error
        return kept

    def find(self, call_id: str, caller: str) -> KeptCall:
        """Return a caller's call. :raises HTTPException: if there is none, or none any more (404)."""
        kept = self._read(call_id) if _ID.fullmatch(call_id) else None
        if kept is None or kept.caller != caller or kept.is_over:
            raise HTTPException(404, "no such call of yours is kept; it may have expired, or its server ended")
        return kept

    def write(self, kept: KeptCall) -> None:
        """Let others see a call's state. :raises FileNotFoundError: if it was taken back meanwhile."""
        new = self.path(kept, "new")  # not by atomic_write, which would make the folder again
        new.write_text(kept.model_dump_json(), "utf-8")
        new.replace(self.path(kept, _STATE))

    def end(self, kept: KeptCall) -> None:
        """Let others see that a call is done, or failed, and keep no more of it than that and the answer."""
        self._tidy(kept)
        self.write(kept)

    def path(self, kept: KeptCall, name: str) -> Path:
        """Return where a call's file of some name lies."""
        return self._folder / kept.id / name

    def remove(self, kept: KeptCall) -> None:
        """Remove all of a call, at once: its worker finds no folder, and predicts no further piece."""
        away = self._folder / f".{kept.id}"
        with suppress(FileNotFoundError):  # somebody else was first
            self.path(kept, "").rename(away)
            shutil.rmtree(away, ignore_errors=True)

    def sweep(self) -> list[KeptCall]:
        """Remove what has expired, and return the others."""
        left = []
        for kept in filter(None, map(self._read, self._ids())):
            if kept.is_over:
                self.remove(kept)
                continue
            left.append(kept)
            if not kept.is_open:
                self._tidy(kept)  # its worker did not, if that was killed
        return left

    def check_room(self, limit: int) -> None:
        """Look at what all calls take together. :raises HTTPException: if that is more than some bytes (507)."""
        size = 0
        for folder, _, files in os.walk(self._folder):
            for file in files:
                with suppress(FileNotFoundError):
                    size += os.stat(f"{folder}/{file}").st_size  # noqa: PTH116  # a Path for each would take longer
        if size > limit:
            raise HTTPException(507, f"background calls take {size:,} bytes; delete those whose result you have")

    def _tidy(self, kept: KeptCall) -> None:
        for name in (BODY, UNFINISHED):
            self.path(kept, name).unlink(missing_ok=True)

    def _ids(self) -> list[str]:
        return [name for name in os.listdir(self._folder) if _ID.fullmatch(name)]  # noqa: PTH208  # names are enough

    def _read(self, call_id: str) -> KeptCall | None:
        file = self._folder / call_id / _STATE
        try:
            kept = KeptCall.model_validate_json(file.read_bytes())
            if kept.is_open and not self._lives(kept.owner):
                kept = KeptCall.model_validate_json(file.read_bytes())  # it may have been done just before
                if kept.is_open:
                    kept.fail(503, "the worker ended; send it again", datetime.fromtimestamp(file.stat().st_mtime, UTC))
        except FileNotFoundError:
            return None
        return kept

    def _lives(self, owner: str) -> bool:
        with (self._folder / owner).open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
