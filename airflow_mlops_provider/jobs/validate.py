"""Holds a dataset against its expectations; the report is the result, whatever it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.references import Dataset, Report

if TYPE_CHECKING:
    import pandas as pd


def run(work: Work) -> Outcome:
    """Write a page and GX's own result for each table that has expectations."""
    from airflow_mlops_provider.backends.great_expectations import validate

    dataset: Dataset = work.input("dataset")
    expectations = work.call(work.product.expectations)
    verdicts = {}
    for name, table in tables(work).items():
        suite = expectations(name)
        if suite:
            (work.folder / name).mkdir()
            verdicts[name] = validate(table, suite, f"{work.product.name}.{name}", work.folder / name)
            work.log.info("%s: %s", name, "passed" if verdicts[name].passed else "; ".join(verdicts[name].broken))
    broken = tuple(f"{name}: {line}" for name, verdict in verdicts.items() for line in verdict.broken)
    worst = next((name for name, verdict in verdicts.items() if not verdict.passed), next(iter(verdicts), None))
    return Outcome(
        kind=Report,
        facts={"dataset": dataset.hash, "checked": sum(verdict.checked for verdict in verdicts.values())},
        fields={
            "passed": not broken,
            "broken": broken,
            "page": f"{worst}/{verdicts[worst].page}" if worst else None,
        },
    )


def tables(work: Work) -> dict[str, pd.DataFrame]:
    """Return the tables to check, by the name under which the product's expectations know them."""
    dataset = work.input("dataset")
    if work.spec.params["what"] == "training":
        return {"training": work.read(dataset, "train")}
    return {source.name: work.read(dataset, source.name) for source in work.product.sources}
