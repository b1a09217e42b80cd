"""Any function: tables and plain values in; a table, several by name, or a plain value out."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from pydantic import ConfigDict

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.jobs.tables import table_in
from airflow_mlops_provider.lifecycle.frozen import plain
from airflow_mlops_provider.lifecycle.references import Dataset, Reference
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams
from airflow_mlops_provider.runtime.code import load
from airflow_mlops_provider.runtime.context import TABLE, JobContext, JobResult, kept
from airflow_mlops_provider.runtime.custom_data import write
from airflow_mlops_provider.runtime.definition import TABLES, job
from airflow_mlops_provider.runtime.functions import FunctionSettings, TableKind

#: The parameter that gets the data interval.
INTERVAL = "interval"


class Inputs(JobInputs):
    """The datasets, by the parameters that take their tables."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Dataset]

    @classmethod
    def takes(cls, role: str) -> tuple[type[Reference], ...]:  # noqa: ARG003  # what roles there are says the function
        return (Dataset,)


class Params(JobParams):
    """The function's other arguments."""

    model_config = ConfigDict(extra="allow")


Context = JobContext[Inputs, FunctionSettings, Params]


@job(stage=Stage.FEATURES, makes="tables", packages=TABLES)
def function(context: Context) -> JobResult:
    """Call the function, and write each table that it returns; a plain value becomes the fact ``value``."""
    settings = context.settings
    call = load(settings)
    tables = {
        name: _given(context, name, dataset, settings.tables.get(name, TableKind(library="pandas")))
        for name, dataset in (context.inputs.__pydantic_extra__ or {}).items()
    }
    takes_interval = INTERVAL in signature(call).parameters and INTERVAL not in context.spec.params
    interval = {INTERVAL: context.interval} if takes_interval else {}
    result = call(**tables, **context.spec.params, **interval)
    facts: dict[str, Any] = {"function": settings.name}
    returned = result if isinstance(result, Mapping) and _are_tables(result.values()) else {TABLE: result}
    if not _are_tables(returned.values()):
        return JobResult(facts={**facts, "value": kept(plain, result, "value")}, makes=settings.name)
    rows = {name: write(table, name, context.folder) for name, table in returned.items()}
    context.log.info("%s returned %s rows", settings.name, rows)
    return JobResult(facts={**facts, "rows": rows}, makes=settings.name)


def _given(context: Context, name: str, dataset: Dataset, kind: TableKind) -> Any:
    files = {file.stem: file for file in sorted(context.open(dataset).glob("*.parquet"))}
    if kind.several:
        return {table: table_in(file, kind.library) for table, file in files.items()}
    if len(files) != 1:
        raise ConfigurationError(
            f"{name!r} takes a table, and {dataset.uri} has {len(files)}: {', '.join(files) or 'none'}; "
            "annotate it as dict[str, DataFrame] to take them all by name"
        )
    return table_in(next(iter(files.values())), kind.library)


def _are_tables(values: Any) -> bool:
    """Say whether all are tables: what pandas, Polars and Arrow have in common is the Arrow stream interface."""
    return bool(values) and all(hasattr(value, "__arrow_c_stream__") for value in values)
