"""The entry to the pages: every product with its live version, its last run and what monitoring saw."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from airflow_mlops_provider.lifecycle.release.registry import live_version
from airflow_mlops_provider.render.parts import NONE, document, log, pill, table
from airflow_mlops_provider.ui.evidence import lineage_link, moment, month, outcome, page_of, report_link, since, title
from airflow_mlops_provider.ui.record import ProductRecord, Unreadable

_EMPTY = (
    "<div class='empty'><h1>No product has run yet</h1>"
    "<p>A product appears here as soon as one of its jobs has ended: start its feature engineering pipeline. "
    "Products made by DAGs that you may not read are not shown.</p></div>"
)
_HEAD = ("product", "live", "last run", "monitoring", "look at")


def index(records: Sequence[ProductRecord | Unreadable]) -> str:
    """Return the entry: every product with its live version and its last run."""
    rows = [_listed(record) for record in records]
    body = f"<p class='eyebrow'>MLOps</p><h1>Products</h1><br><div class='card'>{table(_HEAD, rows)}</div>"
    return document("MLOps", body if rows else _EMPTY)


def _listed(record: ProductRecord | Unreadable) -> tuple[str, ...]:
    name = f"<a href='{page_of(record.name)}'><b>{title(record.name)}</b></a>"
    if isinstance(record, Unreadable):
        return (name, NONE, NONE, pill("failed", "not readable"), escape(record.troubles[0]))
    try:
        return (f"{name}<br>{escape(record.product.goal)}", *_state(record))
    except Exception as error:  # noqa: BLE001  # an odd record of one product takes no other's row away
        log.exception("%s can't be listed", record.name)
        return (name, NONE, NONE, pill("failed", "not readable"), escape(type(error).__name__))


def _state(record: ProductRecord) -> tuple[str, ...]:
    live, seen = live_version(record.entries), record.seen()
    crossed = seen[-1].crossed if seen else ()
    runs = record.runs()
    last = runs[0] if runs else None
    links = [f"<a href='{page_of(record.name)}'>product</a>"]
    links += [lineage_link(record.name, live.version)] if live else []
    links += report_link("drift", seen[-1].drift) if seen else []
    held = pill("crossed", "crossed", "; ".join(crossed)) if crossed else pill("held", "held")
    unread = f" {pill('failed', f'{len(record.troubles)} not readable')}" if record.troubles else ""
    return (
        f"<b>v{live.version}</b><br><span class='nowrap'>since {since(record, live)}</span>" if live else NONE,
        f"{outcome(last)} {escape(last.spec.job.replace('_', ' '))}<br><span class='nowrap'>{moment(last.ended)}</span>"
        if last
        else NONE,
        (f"{held} {month(seen[-1].interval)}" if seen else NONE) + unread,
        " · ".join(links),
    )
