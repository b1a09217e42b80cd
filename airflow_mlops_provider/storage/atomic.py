"""Files of this machine that are written as a whole: a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Value = TypeVar("Value")

#: How the names of unfinished files begin; a killed writer leaves one behind.
TEMPORARY = ".tmp-"


def atomic_write(path: Path, data: bytes) -> None:
    """Put bytes into a file, in place of what it held; missing folders are made."""
    temporary = _temporary(path, data)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink()
        raise


def atomic_create(path: Path, data: bytes) -> None:
    """Put bytes into a file that must not exist yet. :raises FileExistsError: if it does."""
    temporary = _temporary(path, data)
    try:
        os.link(temporary, path)  # link fails where replace would overwrite
    finally:
        temporary.unlink()


def _temporary(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")  # tempfile's would be closed to other users
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


class Remembered(Generic[Value]):
    """What such a file holds, as of now; it is read where it is another one, which its state tells in microseconds.

    :param read: makes the value of what the file holds.
    """

    def __init__(self, file: Path, read: Callable[[str], Value]) -> None:
        self._file, self._read = file, read
        self._kept: tuple[tuple[int, int, int], Value] | None = None

    def value(self) -> Value | None:
        """Return it; None without the file."""
        try:
            seen = os.stat(self._file)  # noqa: PTH116  # a Path would take twice as long
            state = seen.st_ino, seen.st_mtime_ns, seen.st_size
            kept = self._kept
            if kept is None or kept[0] != state:
                # Of a file that is replaced meanwhile the old state is kept with the new content, and read again.
                self._kept = kept = state, self._read(self._file.read_text("utf-8"))
        except FileNotFoundError:
            return None
        return kept[1]
