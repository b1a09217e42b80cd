"""From a page to its evidence: links to reports, manifests and lineage, and how a job's end is named."""

from __future__ import annotations

from datetime import datetime
from html import escape
from urllib.parse import urlencode

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.render.parts import pill
from airflow_mlops_provider.storage.artifacts import MANIFEST
from airflow_mlops_provider.storage.layout import result_key
from airflow_mlops_provider.ui.record import ProductRecord


def page_of(name: str) -> str:
    """Return the link, relative to the pages, to a product's page."""
    return escape(f"product?{urlencode({'name': name})}")


def shown(uri: str, file: str) -> str:
    """Return the link, relative to the pages, under which a result's file is shown."""
    return escape(f"report?{urlencode({'uri': uri, 'file': file})}")


def lineage_link(product: str, version: int) -> str:
    """Return the link to a model version's lineage."""
    query = escape(urlencode({"product": product, "version": version}))
    return f"<a href='lineage?{query}'>lineage</a>"


def report_link(name: str, report: Report | None) -> list[str]:
    """Return a report's link, under a name; nothing if it has no page."""
    return [f"<a href='{report_page(report)}'>{name}</a>"] if report and report.page else []


def with_manifest(name: str, report: Report | None) -> list[str]:
    """Return a report's link with its manifest's beside it."""
    beside = f" (<a href='{shown(report.uri, MANIFEST)}'>manifest</a>)" if report else ""
    return [f"{link}{beside}" for link in report_link(name, report)]


def job_links(record: ProductRecord, one: Manifest) -> str:
    """Return the links to what a job left: its report, if it made one, and its manifest."""
    manifest = f"<a href='{shown(folder(record, one), MANIFEST)}'>manifest</a>"
    return " · ".join([*(report_link("report", one.result) if isinstance(one.result, Report) else []), manifest])


def report_page(report: Report | None) -> str:
    """Return where a report's page is shown, escaped; empty if it has none."""
    return shown(report.uri, report.page) if report and report.page else ""


def folder(record: ProductRecord, found: Manifest) -> str:
    """Return the URI of the folder in which a job's manifest lies."""
    return f"{record.root}/{result_key(found.spec, found.address)}"


def outcome(one: Manifest) -> str:
    """Return how a job ended, as a label."""
    if one.failure:
        return pill("failed", one.failure.error, f"{one.failure.error}: {one.failure.message}")
    if isinstance(one.result, Report) and not one.result.passed:
        return pill("crossed", "not passed", "; ".join(one.result.broken))
    return pill("held", "done")


def since(record: ProductRecord, live: ModelVersion) -> str:
    """Return since when a version is live."""
    moves = (one for one in reversed(record.entries) if one.version.version == live.version)
    return moment(next(entry.at for entry in moves if entry.status is Status.LIVE))


def title(name: str) -> str:
    """Return a product's name as a heading."""
    return escape(words(name))


def words(name: str) -> str:
    """Return a name as words."""
    return name.replace("_", " ").capitalize()


def month(interval: Interval) -> str:
    """Return an interval's start, as short as it can be said."""
    start = interval.start
    return f"{start:%b %Y}" if start.day == 1 and not start.hour else f"{start:%d %b %H:%M}".removesuffix(" 00:00")


def moment(when: datetime) -> str:
    """Return a moment, to the minute."""
    return f"{when:%d %b %Y %H:%M} UTC"


def duration(seconds: float) -> str:
    """Return how long something took."""
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
