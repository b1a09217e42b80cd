"""Extracts one data interval from its sources: checked for shape, typed, kept as an immutable snapshot."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops_provider.backends.tables.column_types import frame_schema
from airflow_mlops_provider.backends.tables.delivered import read
from airflow_mlops_provider.backends.tables.landing import Landing
from airflow_mlops_provider.backends.tables.values import typed
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.tables import LEFT_OUT
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.source import Source
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import TABLE, JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job
from airflow_mlops_provider.storage.artifacts import file_hash

#: So many rows are held, and stand in one of a file's row groups.
ROWS = 1 << 20


class Inputs(JobInputs):
    """:param queried: what the queries of sources gave, in the order of these sources."""

    queried: tuple[Dataset, ...] = ()


class Settings(JobSettings):
    sources: Annotated[tuple[Source, ...], ProductField("data.sources")]


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.FEATURES, makes="raw data", packages=TABLES, publishes="raw", side_effects=True)
def extract(context: Context) -> JobResult:
    """Write one table per source, with the declared columns and types; the facts tell each delivery's own hash."""
    rows, files, left_out = {}, dict[str, str](), {}
    queried = iter(context.inputs.queried)
    for source in context.settings.sources:
        with tempfile.TemporaryDirectory(prefix="mlops-delivered-") as scratch:
            parts = (
                _queried(context, source, next(queried))
                if source.query
                else _delivered(context, source, scratch, files)
            )
            kept = Kept(source, context.interval)
            kept.write(parts, context.folder / f"{source.name}.parquet")
        kept.check()
        rows[source.name] = kept.rows
        context.log.info("extracted %d rows of %s", kept.rows, source.name)
        if kept.reasons:
            left_out[source.name] = dict(kept.reasons)
            context.log.warning("left out %s of %d rows of %s", kept.listed, kept.given, source.name)
    if left_out:
        (context.folder / LEFT_OUT).write_text(json.dumps(left_out, sort_keys=True))
    return JobResult(facts={"rows": rows, "files": files, **({"left_out": left_out} if left_out else {})})


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
    """The rows of an interval, and how many are not, by reason."""

    def __init__(self, source: Source, interval: Interval) -> None:
        self.source, self.interval = source, interval
        self.rows, self.given, self.reasons = 0, 0, Counter[str]()

    def write(self, parts: Iterator[pa.Table], file: Path) -> None:
        """Write them as one table. The same rows are the same bytes, in whatever parts they come."""
        schema = frame_schema(self.source.columns)
        held: list[pa.Table] = []
        with pq.ParquetWriter(file, schema) as writer:
            for part in parts:
                held.append(self.within(part).cast(schema))
                self.rows += len(held[-1])
                if sum(map(len, held)) >= ROWS:
                    whole = pa.concat_tables(held)
                    full = len(whole) // ROWS * ROWS
                    writer.write_table(whole.slice(0, full).combine_chunks(), row_group_size=ROWS)
                    held = [whole.slice(full)]
            rest = pa.concat_tables(held) if held else schema.empty_table()
            if len(rest) or not self.rows:
                writer.write_table(rest.combine_chunks(), row_group_size=ROWS)

    def within(self, table: pa.Table) -> pa.Table:
        """Return the rows of the interval, and count the others."""
        self.given += len(table)
        if self.source.time is None:
            return table
        moments = table.column(self.source.time)
        start, end = (pa.scalar(moment, moments.type) for moment in (self.interval.start, self.interval.end))
        outside = {
            "before the interval": pc.less(moments, start),
            "after the interval": pc.greater_equal(moments, end),
            "without a time": pc.is_null(moments),
        }
        for reason, held in outside.items():
            count = pc.sum(held).as_py() or 0
            if count:
                self.reasons[reason] += count
        return table.filter(pc.and_(pc.greater_equal(moments, start), pc.less(moments, end)))

    @property
    def listed(self) -> str:
        """How many rows were left out, by reason, in words."""
        return ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())

    def check(self) -> None:
        """:raises SourceDataError: if there are no rows, or more were left out than the source allows."""
        source, because = self.source, f" (left out: {self.listed})" if self.reasons else ""
        if not self.rows and not (source.may_be_empty and not self.given):
            raise SourceDataError(
                f"source {source.name!r} has no rows in {self.interval}{because}; previous data is untouched. If an "
                "interval may rightly be empty, declare may_be_empty"
            )
        if self.given - self.rows > source.max_left_out * self.given:
            raise SourceDataError(
                f"source {source.name!r} has only {self.rows} of {self.given} rows in {self.interval}{because}, and "
                f"max_left_out is {source.max_left_out:g}; correct the delivery, or allow more"
            )
