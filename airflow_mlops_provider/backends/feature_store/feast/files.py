"""The offline half of the feature store: one Parquet file for each view and data interval, replaced as a whole."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops_provider.backends.feature_store.feast.definitions import conform, schema
from airflow_mlops_provider.exceptions import SourceDataError, SourceError, UnknownNameError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.storage.atomic import atomic_write


class OfflineFiles:
    """A product's feature rows on disk: ``<folder>/<view>/<interval>.parquet``."""

    def __init__(self, shape: Shape, folder: Path) -> None:
        self.shape = shape
        self.folder = folder
        self.views = {view.name: view for view in shape.views}

    def load(self, interval: Interval, tables: Mapping[str, Path]) -> dict[str, int]:
        """Replace an interval's rows in every view, once all of them fit; return how many there are now, by view.

        Rows without a key are left out; of several rows with one key and moment the last one stays.

        :param tables: a Parquet file for each view.
        :raises UnknownNameError: for a view that the product does not declare.
        :raises SourceDataError: if a view or column is missing, a value does not fit, or a row is outside the interval.
        """
        for name in tables:
            if name not in self.views:
                raise UnknownNameError("view", name, self.views)
        missing = sorted(set(self.views) - set(tables))
        if missing:
            raise SourceDataError(
                f"no feature rows for view {', '.join(missing)}; features must give every declared view"
            )
        ready = {name: self._fitted(name, path, interval) for name, path in tables.items()}
        for name, table in ready.items():
            self._note_gone(name, interval, table)
            atomic_write(self.file(name, interval), _written(table))
        return {name: len(table) for name, table in ready.items()}

    def gone(self, view: str, interval: Interval, before: datetime) -> list[tuple[Any, ...]]:
        """Return the keys that an interval's replacement took out, and of which no row is left up to some moment."""
        file, keys = self._gone_file(view, interval), [*self.views[view].keys]
        left = pq.read_table(file) if file.exists() else None
        for known in reversed(self.files(view)):
            if left is None or not len(left):
                return []
            rows = pq.read_table(known, columns=keys, filters=[(EVENT_TIME, "<", before)])
            left = left.join(rows, keys, join_type="left anti")
        return list(zip(*(left.column(key).to_pylist() for key in keys), strict=True)) if left is not None else []

    def settle_gone(self, view: str, interval: Interval) -> None:
        """Forget them: they have been taken out of the online store, too."""
        self._gone_file(view, interval).unlink(missing_ok=True)

    def _gone_file(self, view: str, interval: Interval) -> Path:
        return self.folder.parent / "gone" / view / f"{interval.key}.parquet"

    def _note_gone(self, view: str, interval: Interval, table: pa.Table) -> None:
        """Keep which keys a replacement takes out, before it does: whoever goes on after a kill still knows."""
        file, keys = self.file(view, interval), [*self.views[view].keys]
        if not file.exists():
            return
        known = [pq.read_table(file, columns=keys)]
        if self._gone_file(view, interval).exists():
            known.append(pq.read_table(self._gone_file(view, interval)))
        before = pa.concat_tables(known).group_by(keys).aggregate([])
        gone = before.join(table.select(keys), keys, join_type="left anti")
        if len(gone):
            atomic_write(self._gone_file(view, interval), _written(gone))

    def holds(self, interval: Interval) -> bool:
        """Say whether every view holds an interval."""
        return all(self.file(name, interval).exists() for name in self.views)

    def require(self, interval: Interval) -> None:
        """Make sure that every view holds an interval. :raises SourceError: naming those that don't."""
        absent = [name for name in sorted(self.views) if not self.file(name, interval).exists()]
        if absent:
            raise SourceError(
                f"interval {interval} of view {', '.join(absent)} is not loaded; run its feature engineering first"
            )

    def differing(self, interval: Interval, tables: Mapping[str, Path]) -> list[str]:
        """Return the views whose file for an interval is not byte for byte what loading these tables would write.

        :raises SourceError: if the interval is not loaded.
        """
        self.require(interval)
        return sorted(
            name
            for name, path in tables.items()
            if self.file(name, interval).read_bytes() != _written(self._fitted(name, path, interval))
        )

    def require_any(self) -> None:
        """Make sure that every view holds some interval. :raises SourceError: naming those that hold none."""
        empty = sorted(name for name in self.views if not self.files(name))
        if empty:
            raise SourceError(f"view {', '.join(empty)} holds no rows yet; run the product's feature engineering first")

    def since(self, rows: pa.Table, interval: Interval) -> datetime | None:
        """Return the start of the oldest interval that has a part in what is known of rows at their moments.

        :param rows: the entity columns and ``event_time``, of an interval.
        :return: None where an entity is known to no interval: then one that is loaded later may still know it.
        """
        starts = [self._since(view, rows, interval) for view in self.views]
        return None if None in starts else min((start for start in starts if start), default=interval.start)

    def _since(self, view: str, rows: pa.Table, interval: Interval) -> datetime | None:
        keys, start = [*self.views[view].keys], interval.start
        fields = [field for field in schema(self.shape, self.views[view]) if field.name in (*keys, EVENT_TIME)]
        # What is known at an entity's first moment may be older than what is known at its others.
        wanted = conform(rows, pa.schema(fields)).group_by(keys).aggregate([(EVENT_TIME, "min")])
        for file in reversed([file for file in self.files(view) if file.stem <= interval.key]):
            if not len(wanted):
                break
            start = _starts(file)
            known = pq.read_table(file, columns=[*keys, EVENT_TIME])
            if file.stem == interval.key:
                known = known.join(wanted, keys, join_type="inner")
                known = known.filter(pc.less_equal(known.column(EVENT_TIME), known.column(f"{EVENT_TIME}_min")))
            wanted = wanted.join(known.select(keys), keys, join_type="left anti")
        return None if len(wanted) else start

    def file(self, view: str, interval: Interval) -> Path:
        """Return where an interval of a view lies."""
        return self.folder / view / f"{interval.key}.parquet"

    def files(self, view: str) -> list[Path]:
        """Return a view's files, oldest interval first."""
        return sorted((self.folder / view).glob("*.parquet"))

    def _fitted(self, view: str, path: Path, interval: Interval) -> pa.Table:
        try:
            table = conform(pq.read_table(path), schema(self.shape, self.views[view]))
        except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SourceDataError(f"feature rows of view {view!r} do not fit its declaration: {error}") from error
        ends = pc.min_max(table.column(EVENT_TIME)).as_py()
        outside = [moment for moment in ends.values() if moment is not None and moment not in interval]
        if outside:
            raise SourceDataError(f"view {view!r} has a row at {outside[0]}, outside the interval {interval}")
        return table


def _written(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _starts(file: Path) -> datetime:
    return datetime.strptime(file.stem, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
