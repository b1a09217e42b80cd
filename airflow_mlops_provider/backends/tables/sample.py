"""A sample of rows that come some at a time: the same each time, in their order, in bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from airflow_mlops_provider.exceptions import SourceDataError

#: Beyond these a sample is looked at: rows, and values in all of its columns.
MOST_ROWS, MOST_VALUES = 1_000_000, 50_000_000
ALIKE = "give files with the same columns"
Hashes = npt.NDArray[np.uint64]


class Sample:
    """Keeps the rows whose numbers have the least hashes: which these are depends on nothing but how many there are.

    :ivar seen: rows so far.
    """

    def __init__(self, most: int = MOST_ROWS) -> None:
        self.seen, self._most, self._limit = 0, most, np.uint64(2**64 - 1)
        self._parts: list[tuple[pa.Table, Hashes]] = []
        self._schema: pa.Schema | None = None
        self._first = ""

    def add(self, part: pa.Table, name: str) -> None:
        """Take some rows. :raises SourceDataError: if they have not the columns that those before had.

        :param name: where they come from, for messages.
        """
        self._check(part, name)
        hashes = spread(np.arange(self.seen, self.seen + len(part), dtype=np.uint64))
        self.seen += len(part)
        self._parts.append(_below(part, hashes, self._limit))
        most = min(self._most, MOST_VALUES // max(1, part.num_columns))
        if sum(len(hashes) for _, hashes in self._parts) > 2 * most:
            self._cut(most)

    def table(self, source: str) -> pa.Table:
        """Return the rows. :raises SourceDataError: if there are none."""
        if not self.seen or self._schema is None:
            raise SourceDataError(f"{source} has no rows; give data with some")
        self._cut(min(self._most, MOST_VALUES // max(1, len(self._schema))))
        table = pa.concat_tables([part for part, _ in self._parts], promote_options="permissive")
        return table.combine_chunks()

    def _cut(self, most: int) -> None:
        hashes = np.concatenate([hashes for _, hashes in self._parts])
        if len(hashes) > most:
            self._limit = np.partition(hashes, most - 1)[most - 1]
            self._parts = [_below(part, hashes, self._limit) for part, hashes in self._parts]

    def _check(self, part: pa.Table, name: str) -> None:
        if self._schema is None:
            self._schema, self._first = part.schema, name
            return
        known, given = self._schema, part.schema
        for column in known.names:
            if column not in given.names:
                raise SourceDataError(f"{name} has no column {column!r}, which {self._first} has; give files of a kind")
        for column in given.names:
            if column not in known.names:
                raise SourceDataError(
                    f"{name} has a column {column!r}, which {self._first} has not; give files of a kind"
                )
            here, there = given.field(column).type, known.field(column).type
            if not _fits(here, there):
                raise SourceDataError(f"{name}: column {column!r} holds {here}, and {there} in {self._first}; {ALIKE}")


def spread(numbers: Hashes) -> Hashes:
    """Return a hash of each number: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, fig. 16)."""
    with np.errstate(over="ignore"):
        hashed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        hashed = (hashed ^ (hashed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashed = (hashed ^ (hashed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashed ^ (hashed >> np.uint64(31))


def _below(part: pa.Table, hashes: Hashes, limit: np.uint64) -> tuple[pa.Table, Hashes]:
    kept = hashes <= limit
    return (part, hashes) if kept.all() else (part.filter(pa.array(kept)), hashes[kept])


def _fits(here: pa.DataType, there: pa.DataType) -> bool:
    """Say whether two types can be one column's."""
    types = pa.types
    if here == there or types.is_null(here) or types.is_null(there):
        return True
    return all(types.is_integer(kind) or types.is_floating(kind) for kind in (here, there))
