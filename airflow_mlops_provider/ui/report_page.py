"""A report or manifest with a way back: a bar above, and the file itself, untouched, in a frame of its own."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.render.parts import document, way_back
from airflow_mlops_provider.storage.artifacts import MANIFEST
from airflow_mlops_provider.ui.evidence import month, page_of, shown


def page(manifest: Manifest, uri: str, file: str) -> str:
    """Return the page.

    :param uri: the result's folder, as the link named it.
    """
    spec, what = manifest.spec, file if file != MANIFEST else "manifest"
    when = f" {month(spec.interval)}" if spec.interval else ""
    back = way_back(
        ("MLOps", "./"), (spec.product, page_of(spec.product)), (f"{spec.job.replace('_', ' ')}{when}", ""), (what, "")
    )
    raw = escape(f"artifact?{urlencode({'uri': uri, 'file': file})}")
    links = "".join(f"<a href='{href}'>{words}</a>" for words, href in _others(manifest, uri, file))
    run = f"{spec.run.dag_id} {spec.run.run_id}".strip() or "outside Airflow"
    bar = f"<nav>{back}<span>{links}<a href='{raw}'>file alone</a></span><small>{escape(run)}</small></nav>"
    return document(f"{spec.product}: {what}", f"{bar}<iframe src='{raw}' title='{escape(what)}'></iframe>", "framed")


def _others(manifest: Manifest, uri: str, file: str) -> list[tuple[str, str]]:
    """Return the other things to look at of the same result."""
    made = manifest.result
    report = [("report", shown(made.uri, made.page))] if isinstance(made, Report) and made.page else []
    manifests = [("manifest", shown(uri, MANIFEST))] if file != MANIFEST else []
    return manifests or report
