"""One look at everything that is kept of a product, for the rows of entities that are to be forgotten."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.backends.tables.entities import ForgottenEntities
from airflow_mlops_provider.jobs.features.feature_store import feature_store
from airflow_mlops_provider.jobs.monitoring.collect import Line
from airflow_mlops_provider.jobs.tables import INPUTS, PREDICTIONS
from airflow_mlops_provider.jobs.validation import quotes
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.erasure import Erasure
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.shape import Shape, View
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.serving import log_files
from airflow_mlops_provider.storage.artifacts import MANIFEST, ArtifactStore, FolderStore, open_store
from airflow_mlops_provider.storage.erasures import Erasures
from airflow_mlops_provider.storage.layout import manifest_beside
from airflow_mlops_provider.storage.manifests import read_manifest

OFFLINE, ONLINE, LOG = "feature store, offline", "feature store, online", "prediction log"
BROKEN = "broken lines of the prediction log"
_PLACES = {"feast": OFFLINE, "external": "tables that tasks read"}
Key = tuple[Any, ...]


class EntitySearch:
    """A search that takes out whatever it finds.

    :ivar rows: how many rows, by request and where they lay; a request without a name is nobody's.
    :ivar looked: how many files, and views online, it looked at, by where they lie; ``named``: how many of these have
        the columns by which an entity is known, as others tell of nobody.
    :ivar columns: those of all tables that it saw.
    :ivar left: a line for each thing that could not be searched.
    :param log: the folder or bucket with the model servers' logs; by default where they keep them.
    """

    def __init__(
        self, context: AnyContext, shape: Shape, forgotten: ForgottenEntities, erasures: Erasures, log: str | None
    ) -> None:
        self.context, self.shape, self.forgotten, self.erasures = context, shape, forgotten, erasures
        self.store, self.own, self.log, self.began = context.store, context.product, log, datetime.now(UTC)
        self.rows, self.looked, self.named = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
        self.columns, self.left = set[str](), list[str]()
        self.keys = self.store.list(self.own)
        self._there = frozenset(self.keys)
        self._record = lru_cache(maxsize=1024)(partial(read_manifest, self.store))

    @property
    def total(self) -> Counter[str]:
        """How many rows were taken out, by where they lay."""
        total = Counter[str]()
        for (_, where), count in self.rows.items():
            total[where] += count
        return total

    def of(self, request: Erasure) -> dict[str, int]:
        """Return the same for one of the requests."""
        return {where: count for (key, where), count in self.rows.items() if key == request.key}

    def run(self) -> None:
        """Take out what names them first: pages, and online, for which the offline store may have to know the names.

        Killed anywhere, a search leaves enough for the next one to find the rest.
        """
        tables = [key for key in self.keys if key.endswith(".parquet")]
        values = {value for key in tables for value in self._names_in(key)}
        if values:
            self._quotes(values)
        self._online()
        for where, keys in groupby(tables, self._where):
            listed = [*keys]
            self.context.log.info("searching %d tables of %s", len(listed), where)
            for key in listed:
                self._table(where, key)
        self._log()

    def _online(self) -> None:
        if not any(key.startswith(f"{self.own}/feast/") for key in self.keys):
            return
        backend = feature_store(self.context, self.shape)
        wanted, offline = dict[str, Callable[[Key], bool]](), dict[str, list[Key]]()
        for view in self.shape.views:
            offline[view.name], back = self._offline(backend, view)
            wanted[view.name] = partial(self._is_gone, view, back)
        taken = backend.forget(wanted, offline)
        self.looked[ONLINE] = len(taken)
        self.named[ONLINE] = sum(self.forgotten.are_in(view.keys) for view in self.shape.views if view.name in taken)
        for view in self.shape.views:
            self.rows.update((self._request(view, key) or "", ONLINE) for key in taken.get(view.name, ()))

    def _offline(self, backend: FeatureStoreBackend, view: View) -> tuple[list[Key], set[Key]]:
        """Return the keys of a view's entities that are to be forgotten, and of those that came back since."""
        gone, back = set[Key](), set[Key]()
        for file in backend.offline.files(view.name) if self.forgotten.are_in(view.keys) else ():
            rows = pq.read_table(file, columns=[*view.keys, EVENT_TIME])
            stay = self.forgotten.left(rows)
            if len(stay) < len(rows):
                gone |= {key for key in _keys(rows, view) if self._request(view, key)}
            back |= {key for key in _keys(stay, view) if self._request(view, key)}
        return [*gone - back], back

    def _is_gone(self, view: View, back: set[Key], key: Key) -> bool:
        return key not in back and self._request(view, key) is not None

    def _request(self, view: View, key: Key) -> str | None:
        return self.forgotten.by(dict(zip(view.keys, key, strict=True)))

    def _names_in(self, key: str) -> set[str]:
        with tempfile.TemporaryDirectory(prefix="mlops-forget-") as scratch:
            try:
                return self.forgotten.values(_local(self.store, key, Path(scratch)), self._of(key))
            except (FileNotFoundError, pa.ArrowException):  # who looks at its rows says so
                return set()

    def _table(self, where: str, key: str) -> None:
        with tempfile.TemporaryDirectory(prefix="mlops-forget-") as scratch:
            try:
                files = {_local(self.store, each, Path(scratch)): each for each in (key, *self._beside(key))}
                file, *beside = files
                columns = pq.read_schema(file).names
                # After a search that was killed between the two, they have not the same rows any more.
                beside = [each for each in beside if _count(each) == _count(file)]
                taken, rows = self.forgotten.without(file, self._of(key), beside)
            except FileNotFoundError:  # replaced meanwhile: what is in its place is looked at next time
                return
            except pa.ArrowException as error:
                self.left.append(f"{key} can't be read: {error}")
                return
        self.columns |= {*columns}
        self.looked[where] += 1
        self.named[where] += self.forgotten.are_in(columns)
        for each, data in taken.items():
            self.erasures.replace(files[each], data, rows if each == file else {})
        self.rows.update({(request, where): count for request, count in rows.items()})

    def _beside(self, key: str) -> list[str]:
        """Return the table of what a model was given, without anybody's name, for each row that it predicted."""
        folder, _, name = key.rpartition("/")
        given = f"{folder}/{INPUTS}.parquet"
        return [given] if name == f"{PREDICTIONS}.parquet" and given in self._there else []

    def _where(self, key: str) -> str:
        known, part = self._made(key), key.split("/")[1]
        return _PLACES.get(part) or (known.makes if known else part)

    def _of(self, key: str) -> Interval | None:
        known = self._made(key)
        return known.spec.interval if known else None

    def _made(self, key: str) -> Manifest | None:
        beside = manifest_beside(key)
        return self._record(beside.rpartition("/")[0]) if beside else None

    def _log(self) -> None:
        store = open_store(self.log) if self.log else self.store
        for key in store.list("" if self.log else f"{self.own}/predictions/rest"):
            if not key.endswith(".jsonl"):
                continue
            self.looked[LOG] += 1
            self.named[LOG] += 1
            by = Counter[str]()
            log_files.take_out(store, key, partial(self._is_line, by))
            self.rows.update({(request, LOG if request else BROKEN): count for request, count in by.items()})

    def _is_line(self, by: Counter[str], text: bytes) -> bool:
        """Say whether a line of a log is to be taken out: theirs, or one of which nobody can say whose it is."""
        try:
            line = Line.model_validate_json(text)
        except ValidationError:
            by[""] += 1
            return True
        request = self.forgotten.by({**line.inputs, **line.row}, line.predicted_at)
        by.update([request] if request else [])
        return request is not None

    def _quotes(self, values: set[str]) -> None:
        """Mask their names where pages of expectations quote what is not as expected."""
        for key in self.keys:
            if not key.startswith(f"{self.own}/validate/") or not key.endswith((".html", ".json")):
                continue
            before = self.store.read(key)
            after = quotes.masked(key, before, values)
            if after == before:
                continue
            if key.endswith(f"/{MANIFEST}"):
                self.store.write(key, after)
            else:
                self.erasures.replace(key, after, {})


def _local(store: ArtifactStore, key: str, scratch: Path) -> Path:
    if isinstance(store, FolderStore):
        return store.path(key)
    copy = scratch / key.rpartition("/")[2]
    store.copy(key, copy)
    return copy


def _count(file: Path) -> int:
    return int(pq.read_metadata(file).num_rows)


def _keys(rows: pa.Table, view: View) -> set[Key]:
    return set(zip(*(rows.column(name).to_pylist() for name in view.keys), strict=True))
