"""The entry to the pages: every product with its live version, its last run and what monitoring saw."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.release.registry import live_version
from airflow_mlops_provider.render.formats import interval, moment, title
from airflow_mlops_provider.render.markup import Content, Html, join, tag
from airflow_mlops_provider.render.parts import badge, breadcrumbs, document, link, links, table
from airflow_mlops_provider.ui.evidence import limits, lineage_link, log, outcome, product_address, report_link, since
from airflow_mlops_provider.ui.record import ProductRecord, Unreadable

_EMPTY = (
    "A product appears here as soon as one of its jobs has ended: start its feature engineering pipeline. "
    "Products made by DAGs that you may not read are not shown."
)
_HEAD = ("product", "live", "last run", "monitoring", "look at")


def index(records: Sequence[ProductRecord | Unreadable]) -> Html:
    """Return the entry: every product with its live version and its last run."""
    if not records:
        return document("MLOps", tag("div", tag("h1", "No product has run yet"), tag("p", _EMPTY), class_="empty"))
    listed = tag("div", table(_HEAD, map(_row, records)), class_="card")
    return document("MLOps", breadcrumbs(("MLOps", "")), tag("h1", "Products"), listed)


def _row(record: ProductRecord | Unreadable) -> tuple[Content, ...]:
    name = link(product_address(record.name), tag("b", title(record.name)))
    if isinstance(record, Unreadable):
        return (name, None, None, badge("failed", "not readable"), record.errors[0])
    try:
        return (name + tag("small", record.product.goal), *_state(record))
    except Exception as error:  # noqa: BLE001  # an odd record of one product takes no other's row away
        log.exception("%s can't be listed", record.name)
        return (name, None, None, badge("failed", "not readable"), type(error).__name__)


def _state(record: ProductRecord) -> tuple[Content, ...]:
    live, monitored = live_version(record.entries), record.monitored()
    run, latest = next(iter(record.runs()), None), monitored[-1] if monitored else None
    errors = badge("failed", f"{len(record.errors)} not readable") if record.errors else None
    return (
        tag("b", f"v{live.version}") + tag("small", f"since {since(record, live)}", class_="nowrap") if live else None,
        _run(run) if run else None,
        join((limits(latest.crossed), interval(latest.interval), errors), " ") if latest else errors,
        links(
            link(product_address(record.name), "product"),
            lineage_link(record.name, live.version) if live else None,
            report_link("drift", latest.drift) if latest else None,
        ),
    )


def _run(run: Manifest) -> Html:
    return join((outcome(run), run.spec.job.replace("_", " "), tag("small", moment(run.ended), class_="nowrap")), " ")
