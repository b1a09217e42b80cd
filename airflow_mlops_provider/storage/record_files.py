"""The one way in which records of ours are read back: what can't be read is named, and hides nothing but itself.

A release reads what an older or a newer one wrote; see :meth:`~..lifecycle.frozen.Frozen.from_file`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Generic, TypeVar

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.stores.base import Mark

log = logging.getLogger("mlops.records")
Kept = TypeVar("Kept", bound=Frozen)
_Named = TypeVar("_Named")
_Content = TypeVar("_Content")


def parse_record(where: str, data: bytes, kind: type[Kept]) -> Kept:
    """Return what a file's bytes hold. :raises IntegrityError: naming the file, and the first thing wrong with it."""
    if not data.strip():
        raise IntegrityError(f"{where} is empty, and no {kind.__name__}")
    try:
        return kind.from_file(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise IntegrityError(f"{where} is no {kind.__name__}: {place}: {first['msg']}") from error


def read_record(store: ArtifactStore, key: str, kind: type[Kept]) -> Kept:
    """Return what a file holds: for whoever can't decide without it.

    :raises FileNotFoundError: if there is none.
    :raises IntegrityError: if it can't be read; the message names it.
    """
    where = f"{store.uri}/{key}"
    try:
        return parse_record(where, store.read(key), kind)
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise IntegrityError(f"{where} can't be read: {error.strerror}") from error


def read_kept(
    store: ArtifactStore, key: str, kind: type[Kept], report: Callable[[str, Exception], None] | None = None
) -> Kept | None:
    """Return what a file holds; None if there is none, or if it can't be read.

    :param report: takes the key of a file that can't be read, and why; by default a warning names it, once a process.
    """
    try:
        return read_record(store, key, kind)
    except FileNotFoundError:
        return None
    except (IntegrityError, OSError) as error:
        if report is None:
            _warn(f"{store.uri}/{key}", str(error))
        else:
            report(key, error)
        return None


def read_all(store: ArtifactStore, keys: Iterable[str], kind: type[Kept]) -> list[Kept]:
    """Return what those of some files hold that can be read, in their order."""
    return [record for record in at_once(store, lambda key: read_kept(store, key, kind), keys) if record]


def at_once(store: ArtifactStore, read: Callable[[_Named], _Content], files: Iterable[_Named]) -> Iterator[_Content]:
    """Yield what is read of each of some files, in their order: of several at once where each takes its time."""
    if store.readers == 1:
        yield from map(read, files)
        return
    with ThreadPoolExecutor(store.readers) as pool:
        yield from pool.map(read, files)


class Reread(Generic[Kept]):
    """Reads the same records again and again, as pages do: each file once, as long as it stays as it is.

    :param kind: what the files hold. :param most: how many are kept, of all stores together.
    :param kept: what is kept of each, if not all.
    """

    def __init__(self, kind: type[Kept], most: int, kept: Callable[[Kept], Kept] = lambda record: record) -> None:
        self._kind, self._most, self._kept = kind, most, kept
        self._known: dict[tuple[str, str, str], Kept] = {}
        self._lock = threading.Lock()

    def read(
        self, store: ArtifactStore, files: Mapping[str, Mark | None], report: Callable[[str, Exception], None]
    ) -> dict[str, Kept]:
        """Return what some of a store's files hold, by their keys; those that can't be read are reported.

        :param files: keys, with the marks that the store has just given.
        """
        marks = {(store.uri, key, mark.state if mark else ""): key for key, mark in files.items()}
        with self._lock:
            known = {named: self._known[named] for named in marks if named in self._known}
        failed: dict[str, Exception] = {}

        def anew(named: tuple[str, str, str]) -> Kept | None:
            record = read_kept(store, named[1], self._kind, failed.__setitem__)
            return record and self._kept(record)

        new = [named for named in marks if named not in known]
        known |= {named: record for named, record in zip(new, at_once(store, anew, new), strict=True) if record}
        with self._lock:
            self._known |= {named: known[named] for named in new if named in known and named[2]}
            for oldest in [*self._known][: max(0, len(self._known) - self._most)]:
                del self._known[oldest]
        for key in sorted(failed):
            report(key, failed[key])
        return {key: known[named] for named, key in marks.items() if named in known}


@lru_cache(maxsize=1024)
def _warn(where: str, why: str) -> None:
    log.warning("%s is left out: %s", where, why)
