"""Extracts one data interval from its sources: checked for shape, typed, kept as an immutable snapshot."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops_provider.backends.tables.column_types import frame_schema
from airflow_mlops_provider.backends.tables.delivered import read
from airflow_mlops_provider.backends.tables.entities import ForgottenEntities
from airflow_mlops_provider.backends.tables.landing import Landing
from airflow_mlops_provider.backends.tables.values import typed
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.tables import LEFT_OUT
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.source import Source
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import TABLE, JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job
from airflow_mlops_provider.storage.artifacts import file_hash
from airflow_mlops_provider.storage.intervals import LATE
from airflow_mlops_provider.storage.stale import OF

#: So many rows are held, and stand in one of a file's row groups.
ROWS = 1 << 20


class Inputs(JobInputs):
    """:param queried: what the queries of sources gave, in the order of these sources.
    :param later: snapshots of later intervals that hold late rows of this one.
    """

    queried: tuple[Dataset, ...] = ()
    later: tuple[Dataset, ...] = ()


class Settings(JobSettings):
    sources: Annotated[tuple[Source, ...], ProductField("data.sources")]


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.FEATURES, makes="raw data", packages=TABLES, publishes="raw", side_effects=True)
def extract(context: Context) -> JobResult:
    """Write one table per source, with the declared columns and types; the facts tell each delivery's own hash.

    Late rows of earlier intervals lie beside it, in ``late/``, for those intervals to take.
    """
    files, facts = (
        dict[str, str](),
        {name: dict[str, Any]() for name in ("rows", "left_out", "forgotten", LATE, "taken")},
    )
    queried = iter(context.inputs.queried)
    for source in context.settings.sources:
        with tempfile.TemporaryDirectory(prefix="mlops-delivered-") as scratch:
            parts = (
                _queried(context, source, next(queried))
                if source.query
                else _delivered(context, source, scratch, files)
            )
            kept = Kept(source, context)
            kept.write(parts)
        kept.check()
        context.log.info("extracted %d rows of %s", kept.rows.count, source.name)
        for name, fact in kept.facts().items():
            facts[name][source.name] = fact
    if facts["left_out"]:
        (context.folder / LEFT_OUT).write_text(json.dumps(facts["left_out"], sort_keys=True))
    return JobResult(facts={"files": files, **{name: fact for name, fact in facts.items() if fact}})


def _delivered(context: Context, source: Source, scratch: str, files: dict[str, str]) -> Iterator[pa.Table]:
    landing = Landing(context.spec.services.landing)
    marker = source.awaited(context.interval) if source.marker else None
    copies = landing.fetch(source.delivery(context.interval), Path(scratch), source.settle_seconds, marker)
    for key, copy in copies.items():
        files[key] = file_hash(copy)
        yield from read(copy, f"{landing.uri}/{key}", source)
        copy.unlink()


def _queried(context: Context, source: Source, dataset: Dataset) -> Iterator[pa.Table]:
    table, where = pq.read_table(context.open(dataset) / f"{TABLE}.parquet"), f"the query of source {source.name!r}"
    missing = [name for name in source.columns if name not in table.column_names]
    if missing:
        raise SourceDataError(f"{where} gives no column {', '.join(missing)}; it gives {', '.join(table.column_names)}")
    yield typed(table, source, where)


class Kept:
    """A source's rows of an interval, and how many are not, by reason."""

    def __init__(self, source: Source, context: Context) -> None:
        self.source, self.context, self.interval = source, context, context.interval
        self.rows = Rows(context.folder / f"{source.name}.parquet", source)
        self.late = Rows(context.folder / LATE / f"{source.name}.parquet", source)
        self.given, self.reasons = 0, Counter[str]()
        self.taken, self.taken_of = 0, dict[str, str]()
        self.to_forget, self.forgotten = ForgottenEntities.of(context.store, context.product), 0
        self.span: list[datetime] = []

    def write(self, parts: Iterator[pa.Table]) -> None:
        """Write those that were delivered with it, and those that came with a later interval."""
        for part in parts:
            self.rows.add(self._sorted_out(self._known(part)))
        for dataset in self.context.inputs.later:
            file = self.context.open(dataset) / LATE / f"{self.source.name}.parquet"
            if not file.exists():
                continue
            if dataset.interval:
                # As recorded: rows may have been taken out of it since.
                self.taken_of[dataset.interval.key] = dataset.facts[LATE][self.source.name]["hash"]
            for batch in pq.ParquetFile(file).iter_batches():
                came_late = self._between(pa.Table.from_batches([batch]), self.interval.start, self.interval.end)
                came_late = self._known(came_late)
                self.taken += len(came_late)
                self.rows.add(came_late)
        self.rows.close()
        if self.late.count:
            self.late.close()

    def _known(self, table: pa.Table) -> pa.Table:
        """Return the rows without those of entities that are to be forgotten: no part of a delivery any more."""
        if self.source.time:
            left = self.to_forget.left(table, time=self.source.time)
        else:
            left = self.to_forget.left(table, self.interval)
        self.forgotten += len(table) - len(left)
        return left

    def _sorted_out(self, table: pa.Table) -> pa.Table:
        """Return the rows of the interval, keep the late ones of earlier intervals, and count the others."""
        start, end = self.interval.start, self.interval.end
        if self.source.time is None:
            self.given += len(table)
            return table
        moments, reach = table.column(self.source.time), start - self.source.lateness
        if self.source.lateness:
            late = self._between(table, reach, start)
            self.late.add(late)
            self.span += [] if not len(late) else pc.min_max(late.column(self.source.time)).as_py().values()
            self.given -= len(late)
        self.given += len(table)
        outside = {
            "before the interval": pc.less(moments, pa.scalar(reach, moments.type)),
            "after the interval": pc.greater_equal(moments, pa.scalar(end, moments.type)),
            "without a time": pc.is_null(moments),
        }
        for reason, held in outside.items():
            count = pc.sum(held).as_py() or 0
            if count:
                self.reasons[reason] += count
        return self._between(table, start, end)

    def _between(self, table: pa.Table, start: datetime, end: datetime) -> pa.Table:
        moments = table.column(self.source.time)
        first, last = (pa.scalar(moment, moments.type) for moment in (start, end))
        return table.filter(pc.and_(pc.greater_equal(moments, first), pc.less(moments, last)))

    @property
    def listed(self) -> str:
        """How many rows were left out, by reason, in words."""
        return ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())

    def facts(self) -> dict[str, Any]:
        """Return what is worth saying of the rows, and say it in the log."""
        name, log, facts = self.source.name, self.context.log, dict[str, Any](rows=self.rows.count)
        if self.reasons:
            facts["left_out"] = dict(self.reasons)
            log.warning("left out %s of %d rows of %s", self.listed, self.given, name)
        if self.late.count:
            span = {"from": min(self.span).isoformat(), "to": max(self.span).isoformat()}
            facts[LATE] = {"rows": self.late.count, **span, "hash": file_hash(self.late.file)}
            log.warning("%d rows of %s are late, of %s to %s: they go there", self.late.count, name, *span.values())
        if self.forgotten:
            facts["forgotten"] = self.forgotten
            log.info("left out %d rows of entities that are to be forgotten, of %s", self.forgotten, name)
        if self.taken_of:
            facts["taken"] = {"rows": self.taken, OF: self.taken_of}
            log.info("%d rows of %s came later and are among these", self.taken, name)
        return facts

    def check(self) -> None:
        """:raises SourceDataError: if there are no rows, or more were left out than the source allows."""
        source, because = self.source, f" (left out: {self.listed})" if self.reasons else ""
        if not self.rows.count and not self.forgotten and not (source.may_be_empty and not self.given):
            raise SourceDataError(
                f"source {source.name!r} has no rows in {self.interval}{because}; previous data is untouched. If an "
                "interval may rightly be empty, declare may_be_empty"
            )
        left_out = sum(self.reasons.values())
        if left_out > source.max_left_out * self.given:
            raise SourceDataError(
                f"source {source.name!r} has only {self.given - left_out} of {self.given} rows in {self.interval}"
                f"{because}, and max_left_out is {source.max_left_out:g}; correct the delivery, or allow more"
            )


class Rows:
    """Writes a table part by part: the same rows are the same bytes, in whatever parts they come."""

    def __init__(self, file: Path, source: Source) -> None:
        self.file, self.count = file, 0
        self._schema, self._held = frame_schema(source.columns), list[pa.Table]()
        self._writer: pq.ParquetWriter | None = None

    def add(self, part: pa.Table) -> None:
        """Take rows."""
        if not len(part):
            return
        self._held.append(part.cast(self._schema))
        self.count += len(part)
        if sum(map(len, self._held)) >= ROWS:
            whole = pa.concat_tables(self._held)
            full = len(whole) // ROWS * ROWS
            self._write(whole.slice(0, full))
            self._held = [whole.slice(full)]

    def close(self) -> None:
        """Write what is left; of no rows, a table without any."""
        rest = pa.concat_tables(self._held) if self._held else self._schema.empty_table()
        if len(rest) or not self.count:
            self._write(rest)
        assert self._writer is not None
        self._writer.close()

    def _write(self, table: pa.Table) -> None:
        if self._writer is None:
            self.file.parent.mkdir(exist_ok=True)
            self._writer = pq.ParquetWriter(self.file, self._schema)
        self._writer.write_table(table.combine_chunks(), row_group_size=ROWS)
