"""Applies the product's cleaning rules to one interval's raw snapshot."""

from __future__ import annotations

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.runtime.context import JobContext, JobResult


def run(context: JobContext) -> JobResult:
    """Write one clean table for each that the rules return."""
    raw = context.input("raw")
    frames = {source.name: context.read(raw, source.name) for source in context.product.sources}
    before = {name: len(frame) for name, frame in frames.items()}  # rules may change what they are given
    tables = context.call(context.product.rules)(frames, context.interval)
    for name, table in tables.items():
        if table.empty:
            raise SourceDataError(f"rules {context.product.rules} left no rows of {name!r} in {context.interval}")
        context.write(table, name)
        context.log.info("%s: %d of %d rows kept", name, len(table), before.get(name, 0))
    for name in sorted(set(before) - set(tables)):
        context.log.info("%s: the rules return no table of this name; its %d rows end here", name, before[name])
    return JobResult(facts={"rows": {name: len(table) for name, table in tables.items()}, "rows_in": before})
