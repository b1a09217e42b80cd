"""The online half of the feature store: the last features of some keys, from whichever store Feast is told to use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from airflow_mlops_provider.backends.feature_store.feast.layout import Entities, Key
from airflow_mlops_provider.backends.feature_store.feast.stored import Stored, stored
from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.lifecycle.shape import Shape, View
from airflow_mlops_provider.lifecycle.source import EVENT_TIME

_WITNESSES = 20


class OnlineReader:
    """Reads one product's features. What Feast's registry says of the views is looked up once, not at each call.

    :param open_store: makes Feast's store; called again once the definitions or the store's own file are others.
    :param file: the online store's file; None for a store that is no file.
    """

    def __init__(self, shape: Shape, open_store: Callable[[], Any], file: Path | None) -> None:
        self._shape, self._open, self._file = shape, open_store, file
        self._entities, self._order = _by_keys(shape), [*shape.feature_types]
        self._lock = threading.Lock()
        self._opened_for: Any = None
        self._stored: Stored | None = None
        self._witnesses: dict[str, list[Key]] = {}
        self._witnessed: datetime | None = None

    def read(self, keys: Mapping[str, Sequence[Any]], definitions: Any) -> dict[str, np.ndarray]:
        """Return each feature's values, in the keys' order; nothing where a key is missing or unknown.

        :param definitions: what identifies the registered definitions; another value, and they are read again.
        :raises BackendError: if the store's file is gone.
        """
        known = {name: _plain(keys[name]) for name in self._shape.entity_columns}
        rows = [[*zip(*(known[name] for name in entities.keys), strict=True)] for entities in self._entities]
        unique = [[key for key in dict.fromkeys(keys) if None not in key] for keys in rows]
        found = self._opened(definitions).rows([*zip(self._entities, unique, strict=True)])
        columns: dict[str, np.ndarray] = {}
        for entities, keys_of, read, values in zip(self._entities, rows, unique, found, strict=True):
            if len(read) == len(keys_of):  # each came once, and in this order
                columns |= entities.columns(values)
                continue
            # Each is decoded once; of a key that is missing, or unknown, the last row is taken, which has nothing.
            places: dict[Key, int] = dict(zip(read, range(len(read)), strict=True))
            at = np.array([places.get(key, -1) for key in keys_of], "intp")
            decoded = entities.columns([*values, (None,) * len(entities.features)])
            columns |= {name: column[at] for name, column in decoded.items()}
        return {name: columns[name] for name in self._order}

    def require(self, definitions: Any, mark: datetime | None, files: Callable[[str], list[Path]]) -> None:
        """Make sure that the store has what was brought there: one that was emptied would answer as if nobody had any.

        :param mark: up to when rows were brought online; None if none were.
        :param files: gives a view's offline files, oldest first.
        :raises BackendError: if a view's entities are gone.
        """
        kept = self._opened(definitions)
        with self._lock:
            if mark is not None and mark != self._witnessed:
                self._witnesses = {view.name: _witnesses(view, mark, files(view.name)) for view in self._shape.views}
                self._witnessed = mark
            witnesses = self._witnesses
        for entities in self._entities:
            for view, features in entities.views.items():
                (rows,) = kept.rows([(entities, witnesses.get(view, []))])
                known = [name in features for name in entities.features]
                # A value that is missing is kept as such; of an entity that is not there nothing is.
                if rows and not any(value is not None for row in rows for value in compress(row, known)):
                    raise BackendError(
                        f"the online store has lost the features of view {view!r}; materialize them again"
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

    def _opened(self, definitions: Any) -> Stored:
        wanted = definitions, self._identity()
        with self._lock:
            if self._stored is None or wanted != self._opened_for:
                store = self._open()
                views = {view.name: store.get_feature_view(view.name) for view in self._shape.views}
                self._stored = stored(store, self._shape, views, self._file, self._lock)
                self._opened_for = wanted
            return self._stored


def _by_keys(shape: Shape) -> list[Entities]:
    """Return the views together whose entities have the same names: they are read together."""
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for view in shape.views:
        groups.setdefault(view.keys, {})[view.name] = dict(view.features)
    return [Entities({key: shape.request[key] for key in keys}, views) for keys, views in groups.items()]


def _plain(values: Sequence[Any]) -> list[Any]:
    """Return values that may be looked up; None for one that is missing."""
    if not isinstance(values, list | tuple):
        series = pd.Series(values)
        values, missing = series.tolist(), series.isna()
        return [None if gone else value for value, gone in zip(values, missing, strict=True)]
    return [None if value is None or value is pd.NA or value != value else value for value in values]  # noqa: PLR0124


def _witnesses(view: View, mark: datetime, files: list[Path]) -> list[Key]:
    """Return a few entities that must be online: the view had rows of them before the watermark."""
    for file in reversed(files):
        table = pq.read_table(file, columns=list(view.keys), filters=[(EVENT_TIME, "<", mark)])
        if len(table):
            return [tuple(row.values()) for row in table.slice(0, _WITNESSES).to_pylist()]
    return []
