"""A report or manifest with a way back: a bar above, and the file itself, untouched, in a frame of its own."""

from __future__ import annotations

from urllib.parse import urlencode

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.render.formats import interval
from airflow_mlops_provider.render.markup import Html, tag
from airflow_mlops_provider.render.parts import breadcrumbs, document, link
from airflow_mlops_provider.storage.artifacts import MANIFEST
from airflow_mlops_provider.ui.evidence import manifest_link, product_address, report_link


def page(manifest: Manifest, uri: str, file: str) -> Html:
    """Return the page.

    :param uri: the result's folder, as the link named it.
    """
    spec, name = manifest.spec, file if file != MANIFEST else "manifest"
    job = " ".join((spec.job.replace("_", " "), interval(spec.interval) if spec.interval else "")).strip()
    way = breadcrumbs(("MLOps", "./"), (spec.product, product_address(spec.product)), (job, ""), (name, ""))
    address = f"artifact?{urlencode({'uri': uri, 'file': file})}"
    run = f"{spec.run.dag_id} {spec.run.run_id}".strip() or "outside Airflow"
    return document(
        f"{spec.product}: {name}",
        tag("nav", way, tag("span", _other(manifest, uri, file), link(address, "file alone")), tag("small", run)),
        tag("iframe", src=address, title=name),
        kind="framed",
    )


def _other(manifest: Manifest, uri: str, file: str) -> Html | None:
    """Return the link from a report to its manifest, or from a manifest to its report."""
    if file != MANIFEST:
        return manifest_link(uri)
    return report_link("report", manifest.result) if isinstance(manifest.result, Report) else None
