"""Holds a dataset against its expectations; the report is the result, whatever it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from airflow_mlops_provider.backends.validation.base import PAGE, Verdict, validator_of
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.jobs.tables import LEFT_OUT, TRAIN, read_plain, table_file
from airflow_mlops_provider.lifecycle.expectation import Expectation
from airflow_mlops_provider.lifecycle.frozen import only_known
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.sections import ValidatorName
from airflow_mlops_provider.lifecycle.source import Source
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Code, Function
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.code import load
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job

if TYPE_CHECKING:
    import pandas as pd


class Inputs(JobInputs):
    dataset: Dataset


class Settings(JobSettings):
    """:param expectations: a function of a table's name; None where the run says what is expected."""

    sources: Annotated[tuple[Source, ...], ProductField("data.sources")] = ()
    expectations: Annotated[Code | Function | None, ProductField("data.expectations")] = None
    validator: Annotated[ValidatorName, ProductField("data.validator")] = "great_expectations"


class Params(JobParams):
    """What is validated, and by what.

    :param what: ``raw`` for the sources of a product's snapshot, ``training`` for its training set; None for the tables
        of any dataset.
    :param table: of those, the one that is meant.
    :param expectations: what is expected of it, where it is no function that says so.
    :param suites: the names of the suites in which these stood.
    :param options: what the validator is told beside that, see :attr:`.Validator.options`.
    """

    what: str | None = None
    table: str | None = None
    expectations: tuple[Expectation, ...] | None = None
    suites: tuple[str, ...] = ()
    options: dict[str, Any] = {}


Context = JobContext[Inputs, Settings, Params]


@job(stage=Stage.VALIDATION, makes="expectations", result=Report, packages=TABLES, uses=())
def validate(context: Context) -> JobResult:
    """Write a page, and what else the validator keeps, for each table that has expectations."""
    expected, check = expectations_of(context), validation(context)
    file = context.open(context.inputs.dataset) / LEFT_OUT
    left_out: dict[str, dict[str, int]] = json.loads(file.read_text()) if file.exists() else {}
    verdicts: dict[str, Verdict] = {}
    for name, table in tables(context).items():
        suite, folder = expected(name), context.folder / name
        if suite or name in left_out:
            folder.mkdir()
            verdicts[name] = check(table, suite, f"{context.product}.{name}", folder, left_out.get(name, {}))
            verdict = verdicts[name]
            context.log.info("%s: %s", name, "passed" if verdict.passed else "; ".join(verdict.broken))
            for line in verdict.warnings:
                context.log.warning("%s: %s", name, line)
    if not verdicts:
        context.log.warning("nothing is expected of any table")
    broken, warnings = (
        tuple(f"{name}: {line}" for name, verdict in verdicts.items() for line in getattr(verdict, kind))
        for kind in ("broken", "warnings")
    )
    worst = min(verdicts, key=lambda name: (verdicts[name].passed, not verdicts[name].warnings), default=None)
    checked = sum(verdict.checked for verdict in verdicts.values())
    facts = {"dataset": context.inputs.dataset.hash, "checked": checked, "warnings": list(warnings)}
    suites = {"suites": list(context.params.suites)} if context.params.suites else {}
    page = f"{worst}/{PAGE}" if worst else None
    return JobResult(facts={**facts, **suites}, passed=not broken, broken=broken, page=page)


def tables(context: Context) -> dict[str, pd.DataFrame]:
    """Return the tables to check, by the name under which the expectations know them."""
    dataset, params = context.inputs.dataset, context.params
    if params.what == "training":
        return {"training": context.read(dataset, TRAIN)}
    if params.what == "raw":
        return {source.name: context.read(dataset, source.name) for source in context.settings.sources}
    folder = context.open(dataset)
    single = params.table or params.expectations is not None
    files = [table_file(folder, params.table)] if single else sorted(folder.glob("*.parquet"))
    return {file.stem: read_plain(file).to_pandas() for file in files}


def expectations_of(context: Context) -> Callable[[str], list[Any]]:
    """Return the function that says what is expected of a table."""
    given, code = context.params.expectations, context.settings.expectations
    if given is not None:
        return lambda _: [expectation.to_json() for expectation in given]
    if code is None:
        raise ConfigurationError("nothing says what is expected; give expectations=, suite= or checkpoint=")
    return load(code)


def validation(context: Context) -> Callable[..., Verdict]:
    """Return what holds a table against expectations. :raises UnknownNameError: for options that it does not take."""
    validator, options = validator_of(context.settings.validator), context.params.options
    only_known(f"option of the validator {context.settings.validator!r}", options, validator.options)
    check: Callable[..., Verdict] = validator.validate
    return lambda *given: check(*given, **options)
