"""The feature store: Feast, with files and DuckDB offline, and SQLite, Redis, PostgreSQL or any other store online."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from airflow_mlops_provider.backends.feature_store.feast.definitions import definitions, dtype_of, fingerprint, plain
from airflow_mlops_provider.backends.feature_store.feast.entities import online_keys, take_out
from airflow_mlops_provider.backends.feature_store.feast.files import OfflineFiles
from airflow_mlops_provider.backends.feature_store.feast.layout import Key
from airflow_mlops_provider.backends.feature_store.feast.online import OnlineReader
from airflow_mlops_provider.backends.feature_store.feast.servers.errors import client_errors, unanswered
from airflow_mlops_provider.backends.feature_store.feast.stored import SECONDS
from airflow_mlops_provider.backends.telemetry import disable_telemetry, without_typeguard
from airflow_mlops_provider.exceptions import BackendError, SourceDataError, SourceError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.storage.atomic import Remembered, atomic_write
from airflow_mlops_provider.storage.locks import file_lock

_SQLITE: Mapping[str, Any] = {"type": "sqlite"}
_ROWS_AT_ONCE = 1_000_000  # that are joined to features; what DuckDB sorts for it is held in memory
_DAWN = datetime(1900, 1, 1, tzinfo=UTC)


class FeatureStoreBackend:
    """One product's features: every row in ``offline``, the last one of each entity online.

    :param shape: whose views these are.
    :param folder: holds ``registry.db``, ``online.db``, ``offline/<view>/<interval>.parquet`` and ``watermark.json``.
    :param online_store: Feast's online store settings; a type other than ``sqlite`` goes to Feast as it stands.
    """

    def __init__(self, shape: Shape, folder: Path, online_store: Mapping[str, Any] = _SQLITE) -> None:
        self.shape = shape
        self.folder = Path(folder).absolute()
        self.online_store = dict(online_store)
        self._marker, self._lock = self.folder / "registry.sha256", self.folder / ".lock"
        self._registry, self._mark = self.folder / "registry.db", self.folder / "watermark.json"
        self._registration: Remembered[str] = Remembered(self._marker, str)
        self._watermark: Remembered[datetime] = Remembered(
            self._mark, lambda text: datetime.fromisoformat(json.loads(text)["watermark"])
        )
        self.offline = OfflineFiles(shape, self.folder / "offline")
        self._online = OnlineReader(shape, lambda: self._open_store(SECONDS), self._online_file)

    def apply(self) -> bool:
        """Register the product's definitions if they changed; True if they did. Without a change Feast isn't imported.

        :raises BackendError: if the online store does not answer.
        """
        if not self.shape.views:  # there is nothing that Feast could keep
            return False
        wanted = fingerprint(self.shape, self.folder, self.online_store)
        if self._registered() == wanted:
            return False
        with file_lock(self._lock), self._answering():
            store = self._store  # first, for it imports Feast the quick way
            objects = definitions(self.shape, self.offline.folder)
            gone = [view for view in store.list_feature_views() if view.name not in self.offline.views]
            store.apply(objects, objects_to_delete=gone, partial=not gone)
            atomic_write(self._marker, wanted.encode())
        return True

    def materialize(self, interval: Interval) -> None:
        """Bring an interval's rows online and move the watermark to its end, if that is later.

        An interval before the watermark is not replayed by itself, which would take entities back in time and keep what
        a correction removed: the last row of each entity before the watermark is written anew. An entity that a
        correction leaves without any row has no features online any more.

        :raises SourceError: if the interval is not loaded or the definitions were not applied.
        :raises BackendError: if the online store does not answer.
        """
        if not self.shape.views:
            return
        self.offline.require(interval)
        self._require_registry()
        with file_lock(self._lock), self._answering():
            mark = self.watermark()
            again = mark is not None and interval.start < mark
            end = max(mark, interval.end) if mark else interval.end
            with redirect_stdout(io.StringIO()):
                # Feast includes both ends; the interval's own end belongs to the next one. The views by name: left to
                # itself, Feast brings nothing online and calls it done where the registry has lost its definitions.
                until = end - timedelta(microseconds=1)
                self._store.materialize(_DAWN if again else interval.start, until, [*self.offline.views])
            for view in self.shape.views:
                take_out(self._store, self.shape, view, self.offline.gone(view.name, interval, end), until)
                self.offline.settle_gone(view.name, interval)
            atomic_write(self._mark, json.dumps({"watermark": end.isoformat()}).encode())

    def forget(
        self, forgotten: Mapping[str, Callable[[Key], bool]], offline: Mapping[str, list[Key]]
    ) -> dict[str, list[Key]]:
        """Take entities out of the online store, and return which of each view were there.

        :param forgotten: says of a view's keys whether they are to be forgotten.
        :param offline: the keys of those that the offline store holds, for an online store that can't list its own.
        :raises BackendError: if the online store does not answer.
        """
        if self._registered() is None:
            return {}
        taken = {}
        with file_lock(self._lock), self._answering():
            known = {view.name for view in self._store.list_feature_views()}  # one that is declared anew holds nothing
            for view in (view for view in self.shape.views if view.name in known):
                keys = online_keys(self._store, view, forgotten[view.name])
                if keys is None:
                    keys = [key for key in offline[view.name] if forgotten[view.name](key)]
                take_out(self._store, self.shape, view, keys, self.watermark() or datetime.now(UTC))
                taken[view.name] = keys
        return taken

    def watermark(self) -> datetime | None:
        """Return the moment before which everything loaded is online; None before the first time."""
        return self._watermark.value()

    def historical(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows, as they are, with every feature as it was known at each row's moment.

        :param rows: the entity columns and ``event_time``; columns beside them, order and index are kept.
        :raises SourceError: if a view holds no rows yet.
        :raises SourceDataError: if a needed column is missing or has a feature's name.
        """
        if not self.shape.views:
            return rows
        keys = list(self.shape.entity_columns)
        _require_columns(rows, [*keys, EVENT_TIME])
        clash = sorted(set(rows.columns) & set(self.shape.feature_types))
        if clash:
            raise SourceDataError(f"rows already have columns named like features: {', '.join(clash)}")
        self._require_registry()
        self.offline.require_any()
        columns = {name: np.empty(len(rows), dtype_of(kind)) for name, kind in self.shape.feature_types.items()}
        service = self._store.get_feature_service(self.shape.name)
        for at in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows.iloc[at : at + _ROWS_AT_ONCE]
            wanted = part[keys].reset_index(drop=True)
            wanted["event_timestamp"] = pd.to_datetime(part[EVENT_TIME], utc=True).reset_index(drop=True)
            wanted["__row"] = range(at, at + len(part))
            known = self._store.get_historical_features(wanted, service).to_arrow()
            places = known.column("__row").to_numpy()
            for name, kind in self.shape.feature_types.items():
                columns[name][places] = plain(known.column(name), kind)
        return pd.concat([rows.copy(), self._frame(columns, rows.index)], axis=1, copy=False)

    def online(self, keys: pd.DataFrame) -> pd.DataFrame:
        """Return the features known last before the watermark, a row for each row of keys, typed as in ``historical``.

        :param keys: the entity columns; others are ignored.
        :raises SourceError: if nothing was brought online yet.
        :raises BackendError: if the online store does not answer.
        """
        columns = list(self.shape.entity_columns)
        _require_columns(keys, columns)
        return self._frame(self.online_columns({name: keys[name] for name in columns}), keys.index)

    def online_columns(self, keys: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
        """Return what :meth:`online` returns, as arrays by name, timestamps as ``datetime64[ns]`` in UTC.

        Beside the read itself a call looks at four files' states; what they hold is read when they are others.

        :param keys: of the entity columns one value a row each; None, NaN and NaT are a missing one.
        :raises SourceError: if nothing was brought online yet.
        :raises BackendError: if the online store does not answer.
        """
        definitions = self._require_registry()
        if self.watermark() is None:
            raise SourceError(f"no features of {self.shape.name!r} are online yet; run its feature engineering first")
        with self._answering():
            return self._online.read(keys, definitions)

    def require_online(self) -> None:
        """Make sure that the online store answers, and has not lost what was brought there: it may have been emptied.

        :raises SourceError: if the definitions were not applied.
        :raises BackendError: if it does not answer, or knows none of a view's entities any more.
        """
        definitions, mark = self._require_registry(), self.watermark()
        with self._answering():
            self._online.require(definitions, mark, self.offline.files)

    @cached_property
    def _store(self) -> Any:
        return self._open_store()

    def _open_store(self, timeout: int = 0) -> Any:
        disable_telemetry()
        with without_typeguard():
            from feast import FeatureStore, RepoConfig
            from feast.repo_config import RegistryConfig

            from airflow_mlops_provider.backends.feature_store.feast import custom_stores

        online = dict(self.online_store)
        if online["type"] == "sqlite":
            online.setdefault("path", str(self._online_file))
        if online["type"] == "redis":
            # Feast would skip a row whose time is no later than the one online, and so a correction too.
            online.setdefault("skip_dedup", True)
            # The password comes by the environment, never in a specification.
            online["connection_string"] = os.path.expandvars(online["connection_string"])
            if timeout and "socket_timeout=" not in online["connection_string"]:
                waits = f"socket_timeout={timeout},socket_connect_timeout={timeout}"
                online["connection_string"] = f"{online['connection_string']},{waits}"
        if online["type"] == "postgres":
            online["password"] = os.path.expandvars(online["password"])
        config = RepoConfig(
            project=self.shape.name,
            provider="local",
            registry=RegistryConfig(
                path=str(self._registry),
                registry_store_type=custom_stores.REGISTRY_STORE,
                cache_ttl_seconds=0,
            ),
            offline_store={"type": custom_stores.OFFLINE_STORE},
            online_store=online,
            batch_engine={"type": custom_stores.BATCH_ENGINE},
            entity_key_serialization_version=3,
        )
        return FeatureStore(config=config)

    def _registered(self) -> str | None:
        return self._registration.value() if os.path.exists(self._registry) else None  # noqa: PTH110  # at each look-up

    def _require_registry(self) -> str:
        registered = self._registered()
        if registered is None:
            raise SourceError(f"no features of {self.shape.name!r} in {self.folder}; run its feature engineering first")
        return registered

    @property
    def _online_file(self) -> Path | None:
        is_file = self.online_store["type"] == "sqlite"
        return Path(self.online_store.get("path") or self.folder / "online.db") if is_file else None

    def _frame(self, columns: Mapping[str, np.ndarray], index: pd.Index) -> pd.DataFrame:
        moments = {name for name, kind in self.shape.feature_types.items() if kind == "timestamp"}
        zoned = {
            name: pd.DatetimeIndex(columns[name], tz="UTC") if name in moments else columns[name] for name in columns
        }
        return pd.DataFrame(zoned, index=index, copy=False)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Say which online store did not answer; its settings may hold a password, so only hosts are named."""
        try:
            yield
        except client_errors(self.online_store["type"]) as error:
            said = unanswered(self.online_store, error)
            raise BackendError(said or f"the online store {self._online_file} did not answer: {error}") from error


def _require_columns(frame: pd.DataFrame, columns: list[str]) -> None:
    missing = sorted(set(columns) - set(frame.columns))
    if missing:
        raise SourceDataError(f"rows lack {', '.join(missing)}; needed: {', '.join(columns)}")
