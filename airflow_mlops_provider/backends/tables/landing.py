"""The landing root: what lies there, whether it is whole, and its bytes."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from airflow_mlops_provider.exceptions import SourceDataError, SourceError
from airflow_mlops_provider.storage.artifacts import FolderStore, checked, open_store

NOT_YET = "has not been delivered yet"
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Landing:
    """Opened as :func:`open_store` does. Only plain files count, and only those that lie there themselves."""

    def __init__(self, uri: str, environment: Mapping[str, str] | None = None) -> None:
        self.store = open_store(uri, environment)
        self.uri = self.store.uri

    def pending(self, key: str, settle_seconds: float = 0.0) -> str | None:
        """Return why a delivery cannot be read yet; None if it is there, and whole as far as can be told.

        :param settle_seconds: how long a file must have lain unchanged. An object in a bucket is whole from the start.
        :raises SourceDataError: if what lies there is no plain file.
        """
        if not isinstance(self.store, FolderStore):
            return None if self.store.exists(key) else NOT_YET
        try:
            state = self._path(key).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return NOT_YET
        self._plain(key, state)
        age = time.time() - state.st_mtime
        if age >= settle_seconds:
            return None
        return f"was changed {age:.1f} s ago, and counts as whole when it has not been for {settle_seconds:g} s"

    def read(self, key: str, settle_seconds: float = 0.0) -> bytes:
        """Return a delivery's bytes, all of one moment.

        :raises SourceError: if it is not there yet, still changes, or cannot be read.
        :raises SourceDataError: if what lies there is no plain file.
        """
        try:
            pending = self.pending(key, settle_seconds)
            if pending is None:
                return self._bytes(key) if isinstance(self.store, FolderStore) else self.store.read(key)
        except FileNotFoundError:
            pending = "has been taken away"
        except OSError as error:
            raise SourceError(f"{self.uri}/{key} cannot be read: {error.strerror}") from None
        raise SourceError(f"{self.uri}/{key} {pending}; a retry helps once it is whole")

    def _path(self, key: str) -> Path:
        """Return the file that a key names. The root itself may be a link: whoever set it up meant that."""
        assert isinstance(self.store, FolderStore)
        path = self.store.root.resolve() / checked(key)
        if os.path.realpath(path) != str(path):
            raise SourceDataError(f"{self.uri}/{key} is a link or lies behind one; deliver a plain file in its place")
        return path

    def _plain(self, key: str, state: os.stat_result) -> None:
        if not stat.S_ISREG(state.st_mode):
            kind = _KINDS.get(stat.S_IFMT(state.st_mode), "special file")
            raise SourceDataError(f"{self.uri}/{key} is a {kind}; deliver a plain file in its place")

    def _bytes(self, key: str) -> bytes:
        # What lies there may have been exchanged since the look: no link is followed, and no pipe waited for.
        descriptor = os.open(self._path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            self._plain(key, before)
            data = file.read()
            after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
            raise SourceError(f"{self.uri}/{key} changed while it was read; a retry helps once it is whole")
        return data
