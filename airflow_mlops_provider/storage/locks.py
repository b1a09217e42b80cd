"""Locks: among the processes of a machine by a file, among all that share another store by a lease."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_mlops_provider.exceptions import ConflictError
from airflow_mlops_provider.storage.artifacts import ArtifactStore, FolderStore
from airflow_mlops_provider.storage.refusals import explained

log = logging.getLogger(__name__)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Wait until no other process holds a lock file, and hold it. The kernel frees the lock of a killed process."""
    with explained(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def store_lock(store: ArtifactStore, key: str) -> Iterator[None]:
    """Wait until nobody else holds a key below a root, and hold it: in a folder by a lock file, else by a lease.

    :raises ConflictError: if a lease is not to be had within ten minutes.
    """
    if isinstance(store, FolderStore):
        with file_lock(store.path(f"{key}.lock")):
            yield
        return
    lease = Lease(store, key)
    lease.acquire()
    try:
        yield
    finally:
        lease.release()


class Lease:
    """A lock in a bucket or the like: the highest of numbered objects, each of which only one process can create.

    :param seconds: how long a lease holds without being renewed; then the next one may take it.
    """

    def __init__(self, store: ArtifactStore, key: str, seconds: float = 60.0) -> None:
        self._store, self._key, self._seconds = store, key, seconds
        self._mine = ""
        self._ending = threading.Event()
        self._holder = f"{socket.gethostname()} process {os.getpid()}"

    def acquire(self, timeout: float = 600.0) -> None:
        """Wait for the lease, and renew it from then on. :raises ConflictError: if others still hold it by then."""
        deadline = time.monotonic() + timeout
        while not self._try():
            if time.monotonic() > deadline:
                raise ConflictError(f"somebody else holds {self._newest()} in {self._store.uri}; retry later")
            time.sleep(min(1.0, self._seconds / 10))
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()

    def release(self) -> None:
        """Let the next one in."""
        self._ending.set()
        self._renewing.join()
        self._write(0)

    def _try(self) -> bool:
        newest = self._newest()
        try:
            if newest and json.loads(self._store.read(newest))["until"] > time.time():
                return False
        except FileNotFoundError:  # somebody went past it between the two looks
            return False
        number = int(newest.split("/")[-2]) + 1 if newest else 0
        self._mine = f"{self._key}/{number:08d}/lease.json"
        try:
            self._store.write_new(self._mine, self._content(self._seconds))
        except ConflictError:
            return False
        if self._newest() != self._mine:  # the number was free again because others have gone past it
            self._store.remove(self._mine.rpartition("/")[0])
            return False
        for old in self._store.list(self._key):
            if old < self._mine:
                self._store.remove(old.rpartition("/")[0])
        return True

    def _renew(self) -> None:
        while not self._ending.wait(self._seconds / 3):
            try:
                self._write(self._seconds)
            except Exception:  # whatever the store raises, the next renewal may succeed
                log.warning("the lease %s could not be renewed", self._mine, exc_info=True)

    def _newest(self) -> str:
        return max(self._store.list(self._key), default="")

    def _write(self, seconds: float) -> None:
        self._store.write(self._mine, self._content(seconds))

    def _content(self, seconds: float) -> bytes:
        return json.dumps({"until": time.time() + seconds if seconds else 0, "holder": self._holder}).encode()
