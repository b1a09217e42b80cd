"""Applies the product's cleaning rules to one interval's raw snapshot."""

from __future__ import annotations

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.work import Outcome, Work


def run(work: Work) -> Outcome:
    """Write one clean table for each that the rules return."""
    raw = work.input("raw")
    frames = {source.name: work.read(raw, source.name) for source in work.product.sources}
    before = {name: len(frame) for name, frame in frames.items()}  # rules may change what they are given
    tables = work.call(work.product.rules)(frames, work.interval)
    for name, table in tables.items():
        if table.empty:
            raise SourceDataError(f"rules {work.product.rules} left no rows of {name!r} in {work.interval}")
        work.write(table, name)
        work.log.info("%s: %d of %d rows kept", name, len(table), before.get(name, 0))
    for name in sorted(set(before) - set(tables)):
        work.log.info("%s: the rules return no table of this name; its %d rows end here", name, before[name])
    return Outcome(facts={"rows": {name: len(table) for name, table in tables.items()}, "rows_in": before})
