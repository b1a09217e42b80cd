"""The overview: for each product its goal, the loop, the live version and why, and what monitoring sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from urllib.parse import urlencode

from airflow_mlops_provider.backends.artifacts import MANIFEST
from airflow_mlops_provider.jobs.address import result_key
from airflow_mlops_provider.jobs.pages import intervals
from airflow_mlops_provider.lifecycle.gates import Estimate
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.registry import LedgerEntry, Status, live_version
from airflow_mlops_provider.ui import charts
from airflow_mlops_provider.ui.parts import NONE, card, document, facts, moves, pill, quiet, table
from airflow_mlops_provider.ui.record import ProductRecord, Seen, StageState, Version

MOST_VERSIONS = 12
MOST_INTERVALS = 24
_EMPTY = (
    "<div class='empty'><h1>No product has run yet</h1>"
    "<p>A product appears here as soon as one of its jobs has ended: start its feature engineering pipeline.</p></div>"
)


def overview(records: Sequence[ProductRecord]) -> str:
    """Return the whole page."""
    body = "".join(product(record) for record in records) or _EMPTY
    return document("MLOps", body)


def product(record: ProductRecord) -> str:
    """Return one product's part."""
    what, seen, latest = record.product, record.seen()[-MOST_INTERVALS:], record.latest()
    listed = {
        "Success means": f"{what.kpi.name}: {what.kpi.target:g} {what.kpi.unit}",
        "Worth": f"{what.value.per_hit:,.0f} {what.value.currency} a hit, "
        f"{-what.value.per_false_alarm:,.0f} a false alarm",
        "Judged by": f"{what.metric.replace('_', ' ')}, at least {what.gates.min_metric:g}",
        "Owner": what.owners.ml_engineer,
        "For": what.owners.business_stakeholder,
    }
    updated = f"<span class='right'>last job {_time(latest)}</span>" if latest else ""
    return (
        f"<section id='{what.name}'>{updated}<p class='eyebrow'>Product</p><h1>{escape(_words(what.name))}</h1>"
        f"<p class='goal'>{escape(what.goal)}</p>{facts({name: escape(value) for name, value in listed.items()})}"
        f"{_loop(record)}<div class='two'>{_live(record)}{_compared(record)}</div>"
        f"{_asked(record)}{_monitoring(record, seen)}{_versions(record)}</section>"
    )


def shown(uri: str, file: str) -> str:
    """Return the link, relative to this page, under which a result's file is shown."""
    return escape(f"artifact?{urlencode({'uri': uri, 'file': file})}")


def _loop(record: ProductRecord) -> str:
    stages = "".join(_stage(record, stage) for stage in record.stages())
    return card("The loop", f"<ol class='loop'>{stages}</ol>")


def _stage(record: ProductRecord, stage: StageState) -> str:
    found = stage.manifest
    lines = [f"<span>{escape(stage.text)}</span>"]
    if found:
        when = f"{_month(found.spec.interval)} · " if found.spec.interval else ""
        links = [f"<a href='{shown(_folder(record, found), MANIFEST)}'>manifest</a>"]
        if isinstance(found.result, Report):
            links = [*_report_link("report", found.result), *links]
        lines += [f"<span>{when}{_duration(found.seconds)}</span>", f"<span>{' · '.join(links)}</span>"]
    return f"<li class='{stage.state}'><b>{escape(stage.stage)}</b>{''.join(lines)}</li>"


def _live(record: ProductRecord) -> str:
    live = live_version(record.entries)
    if live is None:
        return card("Live", quiet("No version answers in production yet."))
    made = [entry for entry in record.entries if entry.version.version == live.version]
    since = next(entry.at for entry in reversed(made) if entry.status is Status.LIVE)
    number = f"<p class='big'>v{live.version} <small>since {_time(since)}</small></p>"
    return card("Live, and why", number + _moves(made))


def _moves(made: Iterable[LedgerEntry]) -> str:
    return moves((entry.status.value, entry.reason) for entry in made)


def _compared(record: ProductRecord) -> str:
    drawn = {f"v{one.number}": one.evaluation.challenger for one in record.versions()[:8] if one.evaluation}
    if not drawn:
        return card("Versions compared", quiet("Nothing has been registered yet."))
    note = f"{_words(record.product.metric)} on each version's own evaluation window, with its 95 % interval"
    return card("Versions compared", f"<div class='compare'>{intervals(drawn)}{quiet(note)}</div>")


def _monitoring(record: ProductRecord, seen: Sequence[Seen]) -> str:
    if not seen:
        return card("Monitoring", quiet("Nothing has been predicted and judged yet."))
    names, limits = [_month(one.interval) for one in seen], record.product.monitoring
    shares = [one.drift.facts["share"] if one.drift else None for one in seen]
    line = charts.line(names, [_metric(one) for one in seen], limits.min_metric)
    bars = charts.bars(names, shares, limits.drift_share)
    head = ("interval", "limits", "#inputs drifted", "#predictions moved", "#metric", "#value", "evidence")
    return (
        f"<div class='two'>{card('Performance of what was live', line)}{card('Share of inputs that drifted', bars)}"
        f"</div>{card('What monitoring saw', table(head, map(_seen, reversed(seen))))}"
    )


def _seen(one: Seen) -> tuple[str, ...]:
    drift, metric = one.drift, _metric(one)
    value = one.performance.facts["value"] if one.performance else None
    return (
        escape(_month(one.interval)),
        pill("crossed", "crossed", "; ".join(one.crossed)) if one.crossed else pill("held", "held"),
        f"{drift.facts['share']:.0%}" if drift else NONE,
        f"{drift.facts['prediction']:.3f}" if drift else NONE,
        f"{metric.value:.4f}" if metric else NONE,
        f"{value['amount']:,.0f} {escape(value['currency'])}" if value else NONE,
        " · ".join([*_report_link("drift", drift), *_report_link("performance", one.performance)]),
    )


def _asked(record: ProductRecord) -> str:
    if not record.requests:
        return ""
    rows = [
        (
            _time(one.at),
            escape(one.to),
            escape(one.what),
            escape(one.study or ""),
            " · ".join(_pages(record, one.evidence)),
        )
        for one in record.requests
    ]
    return card("Asked of data engineering", table(("since", "asked", "what must change", "study", "evidence"), rows))


def _pages(record: ProductRecord, evidence: Iterable[str]) -> Iterator[str]:
    """Yield links to the pages among some evidence that lie in the artifact root; others are Airflow's not to show."""
    for one in evidence:
        if one.startswith(f"{record.root}/"):
            uri, _, file = one.rpartition("/")
            yield f"<a href='{shown(uri, file)}'>{escape(file.partition('.')[0])}</a>"


def _versions(record: ProductRecord) -> str:
    known = record.versions()[:MOST_VERSIONS]
    head = ("version", "stands", "trained because", "#metric [95 %]", "#gain over champion", "evidence")
    return card("Model versions", table(head, [_version(one, record.product.name) for one in known])) if known else ""


def _version(one: Version, product: str) -> tuple[str, ...]:
    found = one.evaluation
    cause = escape(one.cause.replace("_", " ") or "history")
    return (
        f"<b>v{one.number}</b>",
        pill(one.status.value, one.status.value),
        f"<details><summary>{cause}</summary>{_moves(one.moves)}</details>",
        escape(str(found.challenger)) if found else NONE,
        f"{found.gain.value:+.4f} (v{found.champion_version})" if found and found.gain else NONE,
        " · ".join([*_report_link("evaluation", one.report), _lineage_link(product, one.number)]),
    )


def _lineage_link(product: str, version: int) -> str:
    query = escape(urlencode({"product": product, "version": version}))
    return f"<a href='lineage?{query}'>lineage</a>"


def _report_link(name: str, report: Report | None) -> list[str]:
    return [f"<a href='{shown(report.uri, report.page)}'>{name}</a>"] if report and report.page else []


def _folder(record: ProductRecord, found: Manifest) -> str:
    return f"{record.root}/{result_key(found.spec, found.address)}"


def _metric(one: Seen) -> Estimate | None:
    found = one.performance.facts["metric"] if one.performance else None
    return Estimate(**found) if found else None


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _month(interval: Interval) -> str:
    """Return an interval's start, as short as it can be said."""
    start = interval.start
    return f"{start:%b %Y}" if start.day == 1 and not start.hour else f"{start:%d %b %H:%M}".removesuffix(" 00:00")


def _time(moment: datetime) -> str:
    return f"{moment:%d %b %Y %H:%M} UTC"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
