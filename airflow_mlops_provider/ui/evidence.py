"""From a page to its evidence: links to reports, manifests and lineage, and how a job's end is named."""

from __future__ import annotations

from urllib.parse import urlencode

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.render.formats import moment
from airflow_mlops_provider.render.markup import Html, join
from airflow_mlops_provider.render.parts import badge, link, links
from airflow_mlops_provider.storage.artifacts import MANIFEST
from airflow_mlops_provider.storage.layout import result_key
from airflow_mlops_provider.ui.record import ProductRecord


def product_address(name: str) -> str:
    """Return the address, relative to the pages, of a product's page."""
    return f"product?{urlencode({'name': name})}"


def file_address(uri: str, file: str) -> str:
    """Return the address, relative to the pages, at which a result's file is shown."""
    return f"report?{urlencode({'uri': uri, 'file': file})}"


def report_address(report: Report | None) -> str:
    """Return the address of a report's page; empty if it has none."""
    return file_address(report.uri, report.page) if report and report.page else ""


def lineage_link(product: str, version: int) -> Html:
    """Return the link to a model version's lineage."""
    return link(f"lineage?{urlencode({'product': product, 'version': version})}", "lineage")


def manifest_link(uri: str) -> Html:
    """Return the link to a result's manifest."""
    return link(file_address(uri, MANIFEST), "manifest")


def report_link(name: str, report: Report | None) -> Html | None:
    """Return a report's link, under a name; None if it has no page."""
    return link(report_address(report), name) if report and report.page else None


def report_and_manifest(name: str, report: Report | None) -> Html | None:
    """Return a report's link with its manifest's beside it; None if it has no page."""
    return join((report_link(name, report), " (", manifest_link(report.uri), ")")) if report and report.page else None


def job_links(record: ProductRecord, manifest: Manifest) -> Html:
    """Return the links to a job's report, if it made one, and its manifest."""
    report = manifest.result if isinstance(manifest.result, Report) else None
    return links(report_link("report", report), manifest_link(manifest_folder(record, manifest)))


def manifest_folder(record: ProductRecord, manifest: Manifest) -> str:
    """Return the URI of the folder in which a job's manifest lies."""
    return f"{record.root}/{result_key(manifest.spec, manifest.address)}"


def outcome(manifest: Manifest) -> Html:
    """Return how a job ended, as a label."""
    if manifest.failure:
        return badge("failed", manifest.failure.error, f"{manifest.failure.error}: {manifest.failure.message}")
    if isinstance(manifest.result, Report) and not manifest.result.passed:
        return badge("crossed", "not passed", "; ".join(manifest.result.broken))
    return badge("held", "done")


def limits(crossed: tuple[str, ...]) -> Html:
    """Return whether limits were crossed, as a label."""
    return badge("crossed", "crossed", "; ".join(crossed)) if crossed else badge("held", "held")


def since(record: ProductRecord, live: ModelVersion) -> str:
    """Return since when a version is live."""
    changes = (entry for entry in reversed(record.entries) if entry.version.version == live.version)
    return moment(next(entry.at for entry in changes if entry.status is Status.LIVE))
