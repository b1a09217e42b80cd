"""Applies cleaning rules to one interval's raw snapshot."""

from __future__ import annotations

from typing import Annotated

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.tables import library_of, table_in
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.source import Source
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import CodeOrFunction
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.custom_data import write
from airflow_mlops_provider.runtime.definition import TABLES, job
from airflow_mlops_provider.storage.stale import OF


class Inputs(JobInputs):
    raw: Dataset


class Settings(JobSettings):
    """:param sources: whose tables the rules get; with none, all tables of the snapshot."""

    sources: Annotated[tuple[Source, ...], ProductField("data.sources")] = ()
    clean: Annotated[CodeOrFunction, ProductField("data.clean")]


@job(stage=Stage.FEATURES, makes="clean data", packages=TABLES, publishes="clean", uses=())
def clean(context: JobContext[Inputs, Settings, JobParams]) -> JobResult:
    """Write one clean table for each that the rules return."""
    rules, given = context.call(context.settings.clean), context.inputs.raw
    names = [source.name for source in context.settings.sources] or context.tables(given)
    raw = {name: table_in(context.file(given, name), library_of(rules)) for name in names}
    before = {name: len(table) for name, table in raw.items()}  # rules may change what they are given
    tables = rules(raw, context.interval)
    nothing_came = any(not before[source.name] for source in context.settings.sources)  # which extract has allowed
    for name, table in tables.items():
        if len(table) == 0 and not nothing_came:
            raise SourceDataError(f"rules {context.settings.clean} left no rows of {name!r} in {context.interval}")
        write(table, name, context.folder)
        context.log.info("%s: %d of %d rows kept", name, len(table), before.get(name, 0))
    for name in sorted(set(before) - set(tables)):
        context.log.info("%s: the rules return no table of this name; its %d rows end here", name, before[name])
    of = context.records.made_by("extract", given)
    facts = {"rows": {name: len(table) for name, table in tables.items()}, "rows_in": before}
    return JobResult(facts={**facts, **({OF: of} if of else {})})
