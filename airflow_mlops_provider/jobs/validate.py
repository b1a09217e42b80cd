"""Holds a dataset against its expectations; the report is the result, whatever it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_mlops_provider.jobs.extract import LEFT_OUT
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.references import Dataset, Report

if TYPE_CHECKING:
    import pandas as pd


def run(work: Work) -> Outcome:
    """Write a page and GX's own result for each table that has expectations."""
    from airflow_mlops_provider.backends.great_expectations import validate

    dataset: Dataset = work.input("dataset")
    expectations = work.call(work.product.expectations)
    verdicts, lost = {}, left_out(work)
    for name, table in tables(work).items():
        suite = expectations(name)
        if suite or name in lost:
            (work.folder / name).mkdir()
            found = verdicts[name] = validate(
                table, suite, f"{work.product.name}.{name}", work.folder / name, lost.get(name, {})
            )
            work.log.info("%s: %s", name, "passed" if found.passed else "; ".join(found.broken))
            for line in found.warnings:
                work.log.warning("%s: %s", name, line)
    broken, warnings = (
        tuple(f"{name}: {line}" for name, verdict in verdicts.items() for line in getattr(verdict, kind))
        for kind in ("broken", "warnings")
    )
    worst = min(verdicts, key=lambda name: (verdicts[name].passed, not verdicts[name].warnings), default=None)
    return Outcome(
        kind=Report,
        facts={
            "dataset": dataset.hash,
            "checked": sum(verdict.checked for verdict in verdicts.values()),
            "warnings": list(warnings),
        },
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


def left_out(work: Work) -> dict[str, dict[str, int]]:
    """Return how many rows of each source the snapshot left out, by reason."""
    file = work.open(work.input("dataset")) / LEFT_OUT
    return json.loads(file.read_text()) if file.exists() else {}
