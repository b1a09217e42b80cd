"""The links on a task's page that lead to its evidence: the manifest, and the report that a person reads."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import attrs
from airflow.sdk import BaseOperator, BaseOperatorLink, conf
from airflow.sdk.types import TaskInstanceKey

PAGES = "/mlops/report"
MANIFEST_KEY = "mlops_manifest"
MANIFEST_FILE = "manifest.json"


@attrs.define()
class ManifestLink(BaseOperatorLink):
    """The manifest of the task's job, of a failed one too: the task leaves its folder under ``mlops_manifest``."""

    name = "Manifest"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the manifest's page; empty if the task has none."""
        # Not from the result: that of a registered version lies where its model was trained.
        uri = _pulled(ti_key, MANIFEST_KEY)
        return page(uri, MANIFEST_FILE) if isinstance(uri, str) else ""


@attrs.define()
class ReportLink(BaseOperatorLink):
    """The page of the task's report."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the report's page; empty if the task's result is no report, or one without a page."""
        reference = _pulled(ti_key, "return_value")
        is_report = isinstance(reference, dict) and "kind" in reference and reference.get("page")
        return page(reference["uri"], reference["page"]) if is_report else ""


def page(uri: str, file: str) -> str:
    """Return the address at which Airflow shows a file of a result.

    :param uri: the result's folder. A browser opens neither ``file://`` nor ``s3://``, so Airflow serves it.
    """
    if uri.startswith(("http://", "https://")):
        return f"{uri.rstrip('/')}/{file}"
    base = conf.get("api", "base_url", fallback="") or ""
    return f"{base.rstrip('/')}{PAGES}?{urlencode({'uri': uri, 'file': file})}"


def _pulled(ti_key: TaskInstanceKey, key: str) -> Any:
    from airflow.sdk.execution_time.xcom import XCom

    return XCom.get_value(ti_key=ti_key, key=key)
