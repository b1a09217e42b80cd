"""Holds a dataset against its expectations; the report is the result, whatever it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

from airflow_mlops_provider.backends.validation.base import PAGE, validator_of
from airflow_mlops_provider.jobs.tables import LEFT_OUT, TRAIN
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.sections import ValidatorName
from airflow_mlops_provider.lifecycle.source import Source
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Code
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job

if TYPE_CHECKING:
    import pandas as pd


class Inputs(JobInputs):
    dataset: Dataset


class Settings(JobSettings):
    sources: Annotated[tuple[Source, ...], ProductField("data.sources")]
    expectations: Annotated[Code, ProductField("data.expectations")]
    validator: Annotated[ValidatorName, ProductField("data.validator")] = "great_expectations"


class Params(JobParams):
    what: str


Context = JobContext[Inputs, Settings, Params]


@job(stage=Stage.VALIDATION, makes="expectations", result=Report, packages=TABLES)
def validate(context: Context) -> JobResult:
    """Write a page, and what else the validator keeps, for each table that has expectations."""
    expectations, validator = context.call(context.settings.expectations), validator_of(context.settings.validator)
    file = context.open(context.inputs.dataset) / LEFT_OUT
    left_out: dict[str, dict[str, int]] = json.loads(file.read_text()) if file.exists() else {}
    verdicts = {}
    for name, table in tables(context).items():
        suite, folder = expectations(name), context.folder / name
        if suite or name in left_out:
            folder.mkdir()
            whole_name, lost = f"{context.product}.{name}", left_out.get(name, {})
            verdicts[name] = validator.validate(table, suite, whole_name, folder, lost)
            verdict = verdicts[name]
            context.log.info("%s: %s", name, "passed" if verdict.passed else "; ".join(verdict.broken))
            for line in verdict.warnings:
                context.log.warning("%s: %s", name, line)
    broken, warnings = (
        tuple(f"{name}: {line}" for name, verdict in verdicts.items() for line in getattr(verdict, kind))
        for kind in ("broken", "warnings")
    )
    worst = min(verdicts, key=lambda name: (verdicts[name].passed, not verdicts[name].warnings), default=None)
    checked = sum(verdict.checked for verdict in verdicts.values())
    facts = {"dataset": context.inputs.dataset.hash, "checked": checked, "warnings": list(warnings)}
    page = f"{worst}/{PAGE}" if worst else None
    return JobResult(facts=facts, passed=not broken, broken=broken, page=page)


def tables(context: Context) -> dict[str, pd.DataFrame]:
    """Return the tables to check, by the name under which the product's expectations know them."""
    if context.params.what == "training":
        return {"training": context.read(context.inputs.dataset, TRAIN)}
    return {source.name: context.read(context.inputs.dataset, source.name) for source in context.settings.sources}
