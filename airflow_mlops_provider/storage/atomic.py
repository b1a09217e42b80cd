"""Files of this machine that are written as a whole: a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

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
