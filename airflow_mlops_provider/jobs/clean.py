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
        work.log.info("%s: %d rows of %d", name, len(table), len(frames.get(name, ())))
    for name in sorted(set(frames) - set(tables)):
        work.log.warning("%s: the rules return no table of this name; its %d rows end here", name, len(frames[name]))
    counted = {"rows": tables, "rows_in": frames}
    return Outcome(facts={fact: {name: len(table) for name, table in some.items()} for fact, some in counted.items()})
