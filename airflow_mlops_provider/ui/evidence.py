"""From a page to its evidence: reports, manifests and lineage; and what is shown in place of what can't be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.render.formats import interval, moment
from airflow_mlops_provider.render.markup import Html, join, tag
from airflow_mlops_provider.render.parts import badge, breadcrumbs, document, link, links
from airflow_mlops_provider.storage.artifacts import MANIFEST
from airflow_mlops_provider.storage.description import card_page
from airflow_mlops_provider.storage.layout import result_key
from airflow_mlops_provider.ui.record import ProductRecord

log = logging.getLogger("mlops.pages")
MOST_LINES = 20


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


def card_link(root: str, registered: Manifest | None) -> Html | None:
    """Return the link to the model card that a version was registered with; None if it has none."""
    card = card_page(root, registered)
    return link(file_address(*card), "model card") if card else None


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
    return moment(next(entry.at for entry in changes if entry.status is Status.LIVE and entry.moves))


def unreadable(lines: Sequence[str]) -> Html | None:
    """Return a part that names what can't be read, None if all can."""
    more = f"and {len(lines) - MOST_LINES} more" if len(lines) > MOST_LINES else None
    items = tag("ul", *(tag("li", line) for line in lines[:MOST_LINES]), tag("li", more) if more else None)
    return tag("div", tag("h2", "Not readable"), items, class_="card unreadable") if lines else None


def guarded(title: str, build: Callable[[], Html | None]) -> Html | None:
    """Return a part of a page; where its record holds what this release does not know, a part that says so."""
    try:
        return build()
    except Exception as error:
        log.exception("%s can't be shown", title)
        # What the record holds is not repeated: not everybody may read it.
        return unreadable([f"{title} can't be shown: a record holds something unexpected ({type(error).__name__})"])


def report_page(manifest: Manifest, uri: str, file: str) -> Html:
    """Return the page of a report or manifest: a bar that leads back, and the file itself in a frame of its own."""
    spec, name = manifest.spec, file if file != MANIFEST else "manifest"
    job = " ".join((spec.job.replace("_", " "), interval(spec.interval) if spec.interval else "")).strip()
    way = breadcrumbs(("MLOps", "./"), (spec.product, product_address(spec.product)), (job, ""), (name, ""))
    address = f"artifact?{urlencode({'uri': uri, 'file': file})}"
    run = f"{spec.run.dag_id} {spec.run.run_id}".strip() or "outside Airflow"
    return document(
        f"{spec.product}: {name}",
        tag("nav", way, tag("span", _counterpart(manifest, uri, file), link(address, "file alone")), tag("small", run)),
        tag("iframe", src=address, title=name),
        kind="framed",
    )


def _counterpart(manifest: Manifest, uri: str, file: str) -> Html | None:
    """Return the link from a report to its manifest, or from a manifest to its report."""
    if file != MANIFEST:
        return manifest_link(uri)
    return report_link("report", manifest.result) if isinstance(manifest.result, Report) else None
