"""A process's temporary files: in one folder, which goes with the process or, where it was killed, by the next one."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "mlops-process-"
#: Between its making and its lock a folder is nobody's; one that is younger is let be.
YOUNG_SECONDS = 60.0
log = logging.getLogger("mlops.scratch")


@contextmanager
def own_folder() -> Iterator[Path]:
    """Lead this process's temporary files into a folder of its own, after those of killed processes were removed.

    The folder is locked as long as the process lives, or another that it forked: the kernel frees the lock, however
    they end. Programs that it starts keep the machine's own place, since they may outlive it.
    """
    place = Path(tempfile.gettempdir())
    sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(place: Path) -> list[Path]:
    """Remove the folders there that processes of this user left behind when they were killed, and return which."""
    removed = []
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else removes it, or it is in use
            seen = folder.lstat()
            if seen.st_uid != os.getuid() or time.time() - seen.st_ctime < YOUNG_SECONDS:
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
            removed.append(folder)
    if removed:
        log.info("%d folders of killed processes are removed from %s", len(removed), place)
    return removed
