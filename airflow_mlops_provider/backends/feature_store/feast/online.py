"""The online half of the feature store: the last features of some keys, from whichever store Feast is told to use."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from airflow_mlops_provider.backends.feature_store.feast.entities import Key, entity_keys, plain
from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.lifecycle.shape import Shape, View
from airflow_mlops_provider.lifecycle.source import EVENT_TIME

# SQLite takes 32,766 values in one statement, and Feast asks for all keys in one.
_KEYS_AT_ONCE = 10_000
_WITNESSES = 20
_MOST_KNOWN = 100_000  # entities that are remembered; then all are forgotten


class OnlineReader:
    """Reads one product's features. What Feast's registry says of the views is looked up once, not at each call.

    :param open_store: makes Feast's store; called again once the definitions or the store's own file are others.
    :param file: the online store's file; None for a store that is no file.
    """

    def __init__(self, shape: Shape, open_store: Callable[[], Any], file: Path | None) -> None:
        self._shape, self._open, self._file = shape, open_store, file
        self._lock = threading.Lock()
        self._opened_for: Any = None
        self._store: Any = None
        self._views: dict[str, Any] = {}
        self._known: dict[str, dict[Key, tuple[Any, ...]]] = {}
        self._watch: sqlite3.Connection | None = None
        self._version: Any = None
        self._witnesses: dict[str, list[Key]] = {}
        self._witnessed: datetime | None = None

    def read(self, keys: pd.DataFrame, definitions: Any) -> dict[str, list[Any]]:
        """Return each feature's plain values, in the keys' order; None where a key is missing or unknown.

        :param definitions: what identifies the registered definitions; another value, and they are read again.
        :raises BackendError: if the store's file is gone.
        """
        wanted = {name: _plain_column(keys[name]) for name in keys}
        features: dict[str, list[Any]] = {}
        with self._lock:
            self._reopen((definitions, self._identity()))
            self._forget_what_changed()
            for view in self._shape.views:
                features |= self._features(view, wanted)
        return features

    def require(self, definitions: Any, mark: datetime | None, files: Callable[[str], list[Path]]) -> None:
        """Make sure that the store has what was brought there: one that was emptied would answer as if nobody had any.

        :param mark: up to when rows were brought online; None if none were.
        :param files: gives a view's offline files, oldest first.
        :raises BackendError: if a view's entities are gone.
        """
        with self._lock:
            if mark is not None and mark != self._witnessed:
                self._witnesses = {view.name: _witnesses(view, mark, files(view.name)) for view in self._shape.views}
                self._witnessed = mark
            self._reopen((definitions, self._identity()))
            for view in self._shape.views:
                seen = self._witnesses.get(view.name)
                # Of a row that is not there, Feast's Redis says that it is from 1970, and SQLite nothing.
                if seen and not any(at and at.timestamp() for at, _ in self._rows(view, seen)):
                    raise BackendError(
                        f"the online store has lost the features of view {view.name!r}; materialize them again"
                    )

    def _identity(self) -> Any:
        """Tell one file from another under the same name; an open handle goes on reading the one that was replaced."""
        if self._file is None:
            return None
        try:
            state = self._file.stat()
        except FileNotFoundError:
            raise BackendError(f"the online store {self._file} is gone; materialize features again") from None
        return state.st_dev, state.st_ino

    def _reopen(self, wanted: Any) -> None:
        if wanted != self._opened_for:
            self._store = self._open()
            self._views = {view.name: self._store.get_feature_view(view.name) for view in self._shape.views}
            self._known, self._opened_for = {}, wanted
            if self._file is not None:
                read_only = f"{self._file.absolute().as_uri()}?mode=ro"
                self._watch = sqlite3.connect(read_only, uri=True, check_same_thread=False)

    def _forget_what_changed(self) -> None:
        """Keep what was read as long as nobody has written to SQLite, which tells that for next to nothing."""
        version = self._watch.execute("PRAGMA data_version").fetchone() if self._watch else None
        if version is None or version != self._version or sum(map(len, self._known.values())) > _MOST_KNOWN:
            self._known, self._version = {}, version

    def _features(self, view: View, keys: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        wanted: list[Key] = list(zip(*(keys[name] for name in view.keys), strict=True))
        known, nothing = self._known.setdefault(view.name, {}), (None,) * len(view.features)
        unread = [key for key in dict.fromkeys(wanted) if key not in known and None not in key]
        if unread:
            for key, (_, row) in zip(unread, self._rows(view, unread), strict=True):
                known[key] = tuple(plain(row.get(name)) for name in view.features) if row else nothing
        rows = [known.get(key, nothing) for key in wanted]
        return {name: [row[place] for row in rows] for place, name in enumerate(view.features)}

    def _rows(self, view: View, known: list[Key]) -> Iterable[tuple[datetime | None, dict[str, Any] | None]]:
        entities = entity_keys(self._shape, view, known)
        provider, config, features = self._store.provider, self._store.config, list(view.features)
        for at in range(0, len(entities), _KEYS_AT_ONCE):
            part = entities[at : at + _KEYS_AT_ONCE]
            yield from provider.online_read(config, self._views[view.name], part, features)


def _plain_column(values: pd.Series) -> list[Any]:
    return [None if gone else value for value, gone in zip(values.tolist(), values.isna(), strict=True)]


def _witnesses(view: View, mark: datetime, files: list[Path]) -> list[Key]:
    """Return a few entities that must be online: the view had rows of them before the watermark."""
    for file in reversed(files):
        table = pq.read_table(file, columns=list(view.keys), filters=[(EVENT_TIME, "<", mark)])
        if len(table):
            return [tuple(row.values()) for row in table.slice(0, _WITNESSES).to_pylist()]
    return []
