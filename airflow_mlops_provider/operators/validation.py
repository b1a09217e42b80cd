"""Validation: Great Expectations on raw data and on training sets; first the report, then the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.links import ReportLink


class GreatExpectationsValidateDatasetOperator(JobOperator):
    """Holds a dataset against the product's expectations.

    The report is published whatever it says; then the task fails with what broke, and nothing downstream runs.

    :param what: ``raw`` for a snapshot of sources, ``training`` for a training set.
    """

    job = "validate"
    template_fields: Sequence[str] = ("dataset",)
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(self, *, dataset: Any, what: Literal["raw", "training"], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if what not in ("raw", "training"):
            raise ConfigurationError(f"what={what!r} is not known; give 'raw' or 'training'")
        self.dataset = dataset
        self.what = what

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"what": self.what}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        report = manifest.result
        assert isinstance(report, Report)
        if not report.verdict("expectations"):
            context["ti"].xcom_push(key="return_value", value=report.to_json())
            raise AirflowFailException(
                f"{len(report.broken)} expectation(s) broken; see {report.uri}/{report.page}\n"
                + "\n".join(report.broken)
            )
        return report.to_json()
