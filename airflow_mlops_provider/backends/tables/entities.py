"""Rows of entities that are to be forgotten: found in tables by the digests of their names, and left out."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.erasure import Erasure, entity_digest, value_text
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.erasures import Erasures


class ForgottenEntities:
    """The entities of some requests: which rows are theirs, and of which request.

    A row is an entity's if its table has all the columns by which a request knows it, with these values; and if it is
    from before the request: by its ``event_time`` where the table has one, else by its interval.
    """

    def __init__(self, requests: Sequence[Erasure], salt: bytes) -> None:
        self.requests, self._salt = requests, salt
        self._digests = [
            (request, names.columns, frozenset(names.digests)) for request in requests for names in request.names
        ]

    @classmethod
    def of(cls, store: ArtifactStore, product: str, interval: Interval | None = None) -> ForgottenEntities:
        """Return those of all requests of a product that the data of an interval may hold."""
        kept = Erasures(store, product)
        requests = [request for request in kept.all() if request.is_of(interval)]
        return cls(requests, kept.salt() if requests else b"")

    @property
    def columns(self) -> set[str]:
        """The columns by which they are known."""
        return {column for request in self.requests for column in request.columns}

    def by(self, row: Mapping[str, Any], moment: Any = None) -> str | None:
        """Return the request by which a row is to be forgotten; None for a row that stays."""
        for request, columns, digests in self._digests:
            if moment is not None and moment >= request.at:
                continue
            if row.keys() >= {*columns} and entity_digest(self._salt, {name: row[name] for name in columns}) in digests:
                return request.key
        return None

    def are_in(self, columns: Sequence[str]) -> bool:
        """Say whether a table of these columns may hold rows of them."""
        return any({*known} <= {*columns} for _, known, _ in self._digests)

    def held(self, table: pa.Table, interval: Interval | None = None, time: str = EVENT_TIME) -> dict[str, pa.Array]:
        """Return which rows of a table are to be forgotten, by request; none for a request without any.

        :param interval: the table's; :param time: its column with each row's moment, where it has one.
        """
        moments = table.column(time) if time in table.column_names else None
        if moments is not None and not pa.types.is_timestamp(moments.type):
            moments = None
        held = dict[str, pa.Array]()
        for request, columns, digests in self._digests:
            if not {*columns} <= {*table.column_names} or (moments is None and not request.is_of(interval)):
                continue
            rows = self._rows(table, columns, digests)
            if rows is not None and moments is not None:
                requested = pa.scalar(request.at if moments.type.tz else request.at.replace(tzinfo=None))
                before = pc.less(moments, requested.cast(moments.type, safe=False))
                rows = pc.and_(rows, pc.fill_null(before, True))  # Arrow's own
            if rows is not None and pc.any(rows).as_py():
                held[request.key] = pc.or_(held[request.key], rows) if request.key in held else rows
        return held

    def _rows(self, table: pa.Table, columns: Sequence[str], digests: frozenset[str]) -> Any:
        """Return which rows have the names of some digests; None if none have."""
        names = pa.table({column: _decoded(table.column(column)) for column in columns})
        if any(pa.types.is_nested(kind) for kind in names.schema.types):
            return None
        known = names.group_by([*columns]).aggregate([])
        theirs = [entity_digest(self._salt, row) in digests for row in known.to_pylist()]
        if not any(theirs):
            return None
        known = known.filter(pa.array(theirs))
        if len(columns) == 1:
            return pc.is_in(names.column(0), known.column(0))
        numbered = names.append_column("", pa.array(range(len(names))))
        matching = numbered.join(known, [*columns], join_type="left semi")
        return pc.is_in(numbered.column(""), matching.column(""))

    def left(self, table: pa.Table, interval: Interval | None = None, time: str = EVENT_TIME) -> pa.Table:
        """Return the rows of a table that stay."""
        held = self.held(table, interval, time)
        return table.filter(pc.invert(_any(held))) if held else table

    def without(
        self, file: Path, interval: Interval | None = None, beside: Sequence[Path] = ()
    ) -> tuple[dict[Path, bytes], dict[str, int]]:
        """Return the bytes of a Parquet file without their rows, and how many these are by request; nothing for none.

        Schema, row groups and order stay as they are.

        :param beside: files that have the same rows in other columns, row by row: theirs come first.
        """
        parquet = pq.ParquetFile(file)
        if not self.are_in(parquet.schema_arrow.names):
            return {}, {}
        masks, rows = list[pa.Array](), Counter[str]()
        for part in _groups(parquet, self._known(parquet)):
            held = self.held(part, interval)
            rows.update({request: pc.sum(mask).as_py() for request, mask in held.items()})
            masks.append(pc.invert(_any(held)) if held else pa.array([True] * len(part)))
        if not rows:
            return {}, {}
        stay = pa.chunked_array([chunk for mask in masks for chunk in getattr(mask, "chunks", [mask])], pa.bool_())
        return {each: _filtered(pq.ParquetFile(each), stay) for each in (*beside, file)}, dict(rows)

    def _known(self, parquet: pq.ParquetFile) -> list[str]:
        return [name for name in parquet.schema_arrow.names if name in self.columns or name == EVENT_TIME]

    def values(self, file: Path, interval: Interval | None = None) -> set[str]:
        """Return the texts of their names in a Parquet file."""
        parquet, texts = pq.ParquetFile(file), set[str]()
        if not self.are_in(parquet.schema_arrow.names):
            return texts
        known = self._known(parquet)
        for part in _groups(parquet, known):
            for mask in self.held(part, interval).values():
                for row in part.filter(mask).select([name for name in known if name in self.columns]).to_pylist():
                    texts |= {text for value in row.values() if (text := value_text(value))}
        return texts


def _groups(parquet: pq.ParquetFile, columns: list[str] | None = None) -> Iterator[pa.Table]:
    return (parquet.read_row_group(number, columns) for number in range(parquet.num_row_groups))


def _filtered(parquet: pq.ParquetFile, stay: pa.ChunkedArray) -> bytes:
    buffer, at = io.BytesIO(), 0
    with pq.ParquetWriter(buffer, parquet.schema_arrow) as writer:
        for part in _groups(parquet):
            left = part.filter(stay.slice(at, len(part))).combine_chunks()
            writer.write_table(left, row_group_size=max(1, len(left)))
            at += len(part)
    return buffer.getvalue()


def _any(held: Mapping[str, Any]) -> Any:
    first, *others = held.values()
    for other in others:
        first = pc.or_(first, other)
    return first


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
