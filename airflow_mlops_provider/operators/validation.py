"""Validation: Great Expectations on any table, on raw data and on training sets; first the report, then the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.great_expectations import Expected, FileContext
from airflow_mlops_provider.lifecycle.expectation import Expectation
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import About, Report
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.links import ReportLink
from airflow_mlops_provider.runtime.functions import described

#: What Great Expectations may be told to say of each expectation.
RESULT_FORMATS = ("BOOLEAN_ONLY", "BASIC", "SUMMARY", "COMPLETE")


class GreatExpectationsValidateDatasetOperator(JobOperator):
    """Holds a table against what is expected of it: by ``expectations``, ``suite`` or ``checkpoint``, or by a product.

    The report is published whatever it says; then the task fails for good if an expectation of severity ``critical`` is
    broken, and nothing downstream runs. One that can't be evaluated, such as on a column that is not there, is broken.
    What is expected, not where it is written, decides whether finished work is found again.

    :param dataset: what another task hands on, a path or pattern, ``Files`` or ``Sql``.
    :param what: of a product, ``raw`` for a snapshot of its sources, ``training`` for a training set.
    :param table: the table that is meant, of a dataset that has several.
    :param expectations: Great Expectations' objects, their JSON configurations, or a function (also
        ``package.module:function``) that takes a table's name and returns its expectations.
    :param suite: the name of a suite in ``context``.
    :param checkpoint: the name of a checkpoint in ``context``: the suites of its validation definitions are taken, and
        its result format; its data sources and actions are not.
    :param context: a Great Expectations file context: its folder, or a URI such as ``s3://quality/gx``. Only read.
    :param conn_id: the Airflow connection to the object store in which the context lies.
    :param parameters: the values of ``$PARAMETER`` in expectations.
    :param result_format: as of Great Expectations: ``SUMMARY`` unless a checkpoint says otherwise, ``BOOLEAN_ONLY``,
        ``BASIC``, ``COMPLETE``, or a dict with that and its further options.
    :param fail: whether a broken expectation fails the task; else its report is handed on.
    :raises ConfigurationError: for expectations that are none, none at all, or given in several ways.
    """

    job = "validate"
    service = None
    roles = ("dataset",)
    template_fields: Sequence[str] = (
        *("dataset", "table", "expectations", "suite", "checkpoint", "context", "parameters"),
        *JobOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"expectations": "json", "parameters": "json"}
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        dataset: Any,
        what: Literal["raw", "training"] | None = None,
        table: str | None = None,
        expectations: Callable[[str], list[Any]] | Sequence[Any] | str | None = None,
        suite: str | None = None,
        checkpoint: str | None = None,
        context: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        result_format: str | Mapping[str, Any] | None = None,
        fail: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check(what, result_format)
        self.dataset, self.what, self.table = dataset, what, table
        self.code = _code(expectations)
        self.expectations = None if self.code else _listed(expectations)
        self.suite, self.checkpoint, self.context = suite, checkpoint, context
        self.parameters, self.result_format, self.fail = parameters, result_format, fail
        self._check_ways(expectations is not None)

    def _check_ways(self, expected: bool) -> None:
        ways = {"expectations": expected, "suite": bool(self.suite), "checkpoint": bool(self.checkpoint)}
        given = [name for name, is_given in ways.items() if is_given]
        if self.what and not isinstance(self.given_product, MLProduct):
            raise ConfigurationError(f"what={self.what!r} is of a product's data; give product=, or leave it out")
        if len(given) > 1:
            raise ConfigurationError(f"what is expected is given as {' and as '.join(given)}; give one of them")
        if not given and not isinstance(self.given_product, MLProduct):
            raise ConfigurationError(f"nothing says what is expected; give one of {', '.join(ways)}, or a product")
        if {"suite", "checkpoint"} & {*given} and not self.context:
            raise ConfigurationError(
                f"{given[0]}={getattr(self, given[0])!r} lies in a context; give context=, its folder"
            )

    def sections(self) -> dict[str, Any]:
        # Where nothing is said the product's own function says it, and no function without a product.
        return {} if self.code is None and isinstance(self.given_product, MLProduct) else {"expectations": self.code}

    def params_of(self, context: Context) -> dict[str, Any]:
        expected = self._expected()
        result_format = self.result_format or (expected.result_format if expected else None)
        options = {"parameters": self.parameters, "result_format": result_format}
        given = {
            "what": self.what,
            "table": self.table,
            "expectations": expected and [expectation.to_json() for expectation in expected.expectations],
            "suites": expected and list(expected.suites),
            "options": {name: value for name, value in options.items() if value},
        }
        return {name: value for name, value in given.items() if value or (name == "expectations" and value is not None)}

    def interval(self, context: Context) -> Interval | None:
        """Return the dataset's data interval: a verdict depends on no other."""
        return super().interval({})

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        return judged(manifest, context, "expectations", "expectation(s) broken", fail=self.fail)

    def _expected(self) -> Expected | None:
        """Return what is expected as far as the task knows it; None where a function says it."""
        if self.expectations is not None:
            return Expected((), tuple(map(Expectation.of, self.expectations)))
        if self.suite or self.checkpoint:
            files = FileContext(str(self.context), self.conn_id)
            return files.suite(self.suite) if self.suite else files.checkpoint(str(self.checkpoint))
        return None


def judged(manifest: Manifest, context: Context, about: About, what: str, *, fail: bool) -> dict[str, Any]:
    """Return the report of a finished job, as it is handed on.

    :param what: what is counted where it did not pass, such as ``limit(s) crossed``.
    :param fail: whether the task fails then. Its links lead to the report all the same.
    :raises AirflowFailException: no retry changes a verdict.
    """
    report = manifest.result
    assert isinstance(report, Report)
    if fail and not report.verdict(about):
        context["ti"].xcom_push(key="return_value", value=report.to_json())
        headline = f"{len(report.broken)} {what}; see {report.uri}/{report.page}"
        raise AirflowFailException("\n".join((headline, *report.broken)))
    return report.to_json()


def _check(what: str | None, result_format: str | Mapping[str, Any] | None) -> None:
    if what not in (None, "raw", "training"):
        raise ConfigurationError(f"what={what!r} is not known; give 'raw' or 'training'")
    named = result_format.get("result_format") if isinstance(result_format, Mapping) else result_format
    if result_format is not None and named not in RESULT_FORMATS:
        raise ConfigurationError(f"result_format={result_format!r} is not known; known: {', '.join(RESULT_FORMATS)}")


def _code(expectations: Any) -> Any:
    """Return the function that says what is expected, as it travels; None if it is no function."""
    if isinstance(expectations, str):
        if ":" not in expectations:
            raise ConfigurationError(
                f"expectations={expectations!r} is no 'package.module:function'; for a suite, suite="
            )
        return expectations
    return described(expectations).to_json() if callable(expectations) else None


def _listed(expectations: Any) -> Any:
    """Return expectations as plain JSON, in which templates may stand; what a task hands on is not known yet."""
    if isinstance(expectations, list | tuple):
        return [Expectation.of(expectation).to_json() for expectation in expectations]
    if isinstance(expectations, Mapping) or (expectations is not None and not hasattr(expectations, "resolve")):
        raise ConfigurationError(f"expectations={expectations!r:.200} is no list of them, and no function")
    return expectations
