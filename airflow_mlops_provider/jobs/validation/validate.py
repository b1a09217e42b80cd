"""Holds a dataset against its expectations; the report is the result, whatever it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

from airflow_mlops_provider.jobs.packages import TABLES
from airflow_mlops_provider.jobs.tables import LEFT_OUT
from airflow_mlops_provider.lifecycle.code import Code
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.sections import Shape
from airflow_mlops_provider.lifecycle.source import Source
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job

if TYPE_CHECKING:
    import pandas as pd


class Inputs(JobInputs):
    dataset: Dataset


class Settings(JobSettings):
    sources: Annotated[tuple[Source, ...], ProductField("data.sources")]
    shape: Shape
    expectations: Annotated[Code, ProductField("data.expectations")]


class Params(JobParams):
    what: str


Context = JobContext[Inputs, Settings, Params]


@job(stage=Stage.VALIDATION, makes="expectations", result=Report, packages=("great-expectations", *TABLES))
def validate(context: Context) -> JobResult:
    """Write a page and GX's own result for each table that has expectations."""
    from airflow_mlops_provider.backends.validation.great_expectations import PAGE, validate

    dataset: Dataset = context.inputs.dataset
    expectations = context.call(context.settings.expectations)
    verdicts, lost = {}, left_out(context)
    for name, table in tables(context).items():
        suite = expectations(name)
        if suite or name in lost:
            (context.folder / name).mkdir()
            found = verdicts[name] = validate(
                table, suite, f"{context.product}.{name}", context.folder / name, lost.get(name, {})
            )
            context.log.info("%s: %s", name, "passed" if found.passed else "; ".join(found.broken))
            for line in found.warnings:
                context.log.warning("%s: %s", name, line)
    broken, warnings = (
        tuple(f"{name}: {line}" for name, verdict in verdicts.items() for line in getattr(verdict, kind))
        for kind in ("broken", "warnings")
    )
    worst = min(verdicts, key=lambda name: (verdicts[name].passed, not verdicts[name].warnings), default=None)
    return JobResult(
        facts={
            "dataset": dataset.hash,
            "checked": sum(verdict.checked for verdict in verdicts.values()),
            "warnings": list(warnings),
        },
        passed=not broken,
        broken=broken,
        page=f"{worst}/{PAGE}" if worst else None,
    )


def tables(context: Context) -> dict[str, pd.DataFrame]:
    """Return the tables to check, by the name under which the product's expectations know them."""
    dataset = context.inputs.dataset
    if context.params.what == "training":
        return {"training": context.read(dataset, "train")}
    return {source.name: context.read(dataset, source.name) for source in context.settings.sources}


def left_out(context: Context) -> dict[str, dict[str, int]]:
    """Return how many rows of each source the snapshot left out, by reason."""
    file = context.open(context.inputs.dataset) / LEFT_OUT
    return json.loads(file.read_text()) if file.exists() else {}
