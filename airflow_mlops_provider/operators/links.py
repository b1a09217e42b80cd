"""The links on a task's page: to its evidence, and to where vendors, pods and servers show what came of it.

Airflow asks for them in the task's own process, once it has ended. What they lead to is taken from the record that the
task's job left, not from an XCom, which others may write.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import attrs
from airflow.sdk import BaseOperator, BaseOperatorLink, conf
from airflow.sdk.types import TaskInstanceKey

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Report

PAGES = "/mlops/report"
MANIFEST_FILE = "manifest.json"


@attrs.define()
class ManifestLink(BaseOperatorLink):
    """The manifest of the task's job, of a failed one too."""

    name = "Manifest"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the manifest's page; empty if the task has none."""
        # Not from the result: that of a registered version lies where its model was trained.
        uri = getattr(operator, "record", None)
        return page(uri, MANIFEST_FILE) if uri else ""


@attrs.define()
class ReportLink(BaseOperatorLink):
    """The page of the task's report."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the report's page; empty if the task's result is no report, or one without a page."""
        reference = _pulled(ti_key, "return_value")
        is_report = isinstance(reference, dict) and "kind" in reference and reference.get("page")
        return page(reference["uri"], reference["page"]) if is_report else ""


@attrs.define()
class MlflowRunLink(BaseOperatorLink):
    """The page of the training's, or the search's, run in MLflow."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the run's page; empty without a run, or where MLflow is no server."""
        from airflow_mlops_provider.hooks.mlflow import MlflowHook

        facts, spec = _facts(operator), getattr(operator, "spec", None)
        run_id = facts.get("run_id") or facts.get("mlflow_run")
        if not (spec and run_id and spec.services.mlflow.startswith("http")):
            return ""
        conn_id = getattr(operator, "conn_ids", {}).get("mlflow")
        return MlflowHook.named(conn_id, spec.product).run_page(str(run_id))


@attrs.define()
class DataReportLink(BaseOperatorLink):
    """The report on the data that the task's result rests on."""

    name = "Data report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the page of the first report on expectations that the job was given; empty if it was given none."""
        record = _record(operator)
        given = record.spec.references if record else ()
        reports = (report for report in given if isinstance(report, Report) and report.about == "expectations")
        return next((page(report.uri, report.page) for report in reports if report.page), "")


@attrs.define()
class ServedModelLink(BaseOperatorLink):
    """The page of the model server to which the task has brought a version."""

    name = "Served model"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the server's address; empty if nothing was brought there."""
        url = str(_facts(operator).get("url") or "")
        return f"{url.rstrip('/')}/" if url.startswith(("http://", "https://")) else ""


@attrs.define()
class PodLogLink(BaseOperatorLink):
    """The whole log of the job's pod, which is kept beside what the pod left."""

    name = "Pod's log"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the log's page; empty if the job ran in no pod, or was not run."""
        kept = getattr(operator, "log_file", None)
        folder, _, file = (kept or "").rpartition("/")
        return page(folder, file) if kept else ""


@attrs.define()
class RunAgainLink(BaseOperatorLink):
    """The run of a stale interval that the task has started again."""

    name = "Run again"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the run's page; empty if none was started."""
        run = getattr(operator, "run_again", None)
        return f"{_base()}/dags/{quote(run.dag_id)}/runs/{quote(run.run_id)}" if run else ""


def page(uri: str, file: str) -> str:
    """Return the address at which Airflow shows a file of a result.

    :param uri: the result's folder. A browser opens neither ``file://`` nor ``s3://``, so Airflow serves it.
    """
    if uri.startswith(("http://", "https://")):
        return f"{uri.rstrip('/')}/{file}"
    return f"{_base()}{PAGES}?{urlencode({'uri': uri, 'file': file})}"


def _base() -> str:
    return (conf.get("api", "base_url", fallback="") or "").rstrip("/")


def _record(operator: BaseOperator) -> Manifest | None:
    record = getattr(operator, "manifest", None)
    return record if isinstance(record, Manifest) else None


def _facts(operator: BaseOperator) -> dict[str, Any]:
    record = _record(operator)
    return record.result.facts if record and record.result else {}


def _pulled(ti_key: TaskInstanceKey, key: str) -> Any:
    from airflow.sdk.execution_time.xcom import XCom

    return XCom.get_value(ti_key=ti_key, key=key)
