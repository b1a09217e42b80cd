"""Applies the product's cleaning rules to one interval's raw snapshot."""

from __future__ import annotations

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.work import Outcome, Work


def run(work: Work) -> Outcome:
    """Write one clean table for each that the rules return."""
    raw = work.input("raw")
    frames = {source.name: work.read(raw, source.name) for source in work.product.sources}
    tables = work.call(work.product.rules)(frames, work.interval)
    for name, table in tables.items():
        if table.empty:
            raise SourceDataError(f"rules {work.product.rules} left no rows of {name!r} in {work.interval}")
        work.write(table, name)
        before = len(frames[name]) if name in frames else 0
        work.log.info("%s: %d of %d rows kept", name, len(table), before)
    return Outcome(facts={"rows": {name: len(table) for name, table in tables.items()}})
