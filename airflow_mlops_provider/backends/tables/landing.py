"""The landing root: what lies there, whether it is whole, and copies of it."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, SourceError
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore, checked, open_store

NOT_YET = "has not been delivered yet"
#: What makes a name a pattern.
_WILD = re.compile(r"[*?\[]")
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

        :param key: of a file; or what :meth:`matching` takes, where names that begin with ``_`` or a dot don't count.
        :param settle_seconds: how long a file must have lain unchanged. An object in a bucket is whole from the start.
        :raises SourceDataError: if what lies there is no plain file.
        """
        if _is_pattern(key):
            return self.unsettled(key, self._data(key), settle_seconds)
        if not isinstance(self.store, FolderStore):
            return None if self.store.exists(key) else NOT_YET
        state = self._state(key)
        return _lately(state.st_mtime, settle_seconds) if state else NOT_YET

    def matching(self, pattern: str) -> dict[str, tuple[int, float]]:
        """Return size and time of change of each file that a pattern means, by its key; of a plain name that file.

        :param pattern: a folder, which ends in ``/``, means all below it.
        :raises SourceDataError: if something else than a plain file is among them.
        :raises ConfigurationError: if the root is another's store.
        """
        if not _is_pattern(pattern):
            known = {pattern: self._size_and_time(pattern)}
        else:
            pattern = _all_below(pattern)
            folder = pattern[: _first_wild(pattern)].rpartition("/")[0]
            if isinstance(self.store, FolderStore):
                known = {key: self._size_and_time(key) for key in self.store.list(folder) if matches(pattern, key)}
            else:
                known = {key: state for key, state in self._bucket().states(folder).items() if matches(pattern, key)}
        return {key: state for key, state in known.items() if state}

    def unsettled(self, pattern: str, files: Mapping[str, tuple[int, float]], settle_seconds: float) -> str | None:
        """Return why what a pattern means cannot be read yet: none is there, or the newest was changed lately."""
        if not files:
            return NOT_YET
        if not isinstance(self.store, FolderStore) and not _is_pattern(pattern):
            return None
        newest = max(files, key=lambda key: files[key][1])
        lately = _lately(files[newest][1], settle_seconds)
        return f"has {len(files)} file(s), of which {newest} {lately}" if lately else None

    def fetch(self, key: str, folder: Path, settle_seconds: float = 0.0, marker: str | None = None) -> dict[str, Path]:
        """Copy a delivery's files, each of one moment, and return the copies by key, in the keys' order.

        :param key: as :meth:`pending` has it.
        :param marker: the key of a file that is there once all is whole, be that nothing.
        :raises SourceError: if it is not there yet, still changes, or cannot be read.
        :raises SourceDataError: if what lies there is no plain file.
        """
        try:
            # Named before it is asked whether they are whole: none is taken that came in between.
            keys = sorted(self._data(key)) if _is_pattern(key) else [key]
            pending = self.pending(marker) if marker else self.pending(key, settle_seconds)
            if pending is None:
                copies = {name: folder / f"{number}" for number, name in enumerate(keys)}
                for name, copy in copies.items():
                    self._copy(name, copy)
                return copies
        except FileNotFoundError:
            pending = "has been taken away"
        except OSError as error:
            raise SourceError(f"{self.uri}/{key} cannot be read: {error.strerror}") from None
        raise SourceError(f"{self.uri}/{marker or key} {pending}; a retry helps once it is whole")

    def _data(self, pattern: str) -> dict[str, tuple[int, float]]:
        return {key: state for key, state in self.matching(pattern).items() if _is_data(key)}

    def _state(self, key: str) -> os.stat_result | None:
        try:
            state = self._path(key).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        self._plain(key, state)
        return state

    def _size_and_time(self, key: str) -> tuple[int, float] | None:
        if not isinstance(self.store, FolderStore):
            return self._bucket().state(key)
        state = self._state(key)
        return (state.st_size, state.st_mtime) if state else None

    def _bucket(self) -> BucketStore:
        if not isinstance(self.store, BucketStore):
            raise ConfigurationError(
                f"{self.uri}: give a folder or an S3 bucket; another's store does not say when a file was changed"
            )
        return self.store

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

    def _copy(self, key: str, copy: Path) -> None:
        if not isinstance(self.store, FolderStore):
            self.store.copy(key, copy)
            return
        # What lies there may have been exchanged since the look: no link is followed, and no pipe waited for.
        descriptor = os.open(self._path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file, copy.open("wb") as target:
            before = os.fstat(descriptor)
            self._plain(key, before)
            shutil.copyfileobj(file, target, 1 << 20)
            after = os.fstat(descriptor)
        states = {(state.st_size, state.st_mtime_ns) for state in (before, after)}
        if len(states) > 1 or copy.stat().st_size != after.st_size:
            raise SourceError(f"{self.uri}/{key} changed while it was read; a retry helps once it is whole")


@contextmanager
def reachable(uri: str) -> Iterator[None]:
    """Turn what folders and buckets raise into a :class:`SourceError`: a retry helps once they can be reached."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, OSError) as error:
        raise SourceError(f"{uri} cannot be looked at: {str(error)[:300]}") from None


def split_path(path: str) -> tuple[str, str]:
    """Return the folder in which a path's files lie, as a root, and what they are called below it, as a pattern.

    :param path: of a file, of a folder (``…/``, then all below it), or a pattern.
    :raises ConfigurationError: if no folder is named.
    """
    path = _all_below(path)
    cut = _first_wild(path)
    root, slash, first = path[:cut].rpartition("/")
    name = first + path[cut:]
    if not slash or root.endswith((":/", ":")) or not name:
        raise ConfigurationError(f"{path!r} names no file in a folder; give /folder/… or s3://bucket/…")
    return root or "/", name


def _is_pattern(key: str) -> bool:
    return key.endswith("/") or bool(_WILD.search(key))


def _all_below(path: str) -> str:
    return f"{path}**/*" if path.endswith("/") else path


def _first_wild(path: str) -> int:
    wild = _WILD.search(path)
    return wild.start() if wild else len(path)


def _is_data(key: str) -> bool:
    return not key.rpartition("/")[2].startswith(("_", "."))


def matches(pattern: str, key: str) -> bool:
    """Say whether a pattern means a key: ``*``, ``?`` and ``[…]`` within a name, ``**`` for any number of folders."""
    return _match(pattern.split("/"), key.split("/"))


def _match(parts: list[str], names: list[str]) -> bool:
    if not parts or not names:
        return not parts and not names
    if parts[0] == "**":
        return any(_match(parts[1:], names[cut:]) for cut in range(len(names)))
    return fnmatch.fnmatchcase(names[0], parts[0]) and _match(parts[1:], names[1:])


def _lately(changed: float, settle_seconds: float) -> str | None:
    age = time.time() - changed
    if age >= settle_seconds:
        return None
    return f"was changed {age:.1f} s ago, and counts as whole when it has not been for {settle_seconds:g} s"
