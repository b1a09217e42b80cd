"""A product's page: its goal, the loop, the live version and why, what monitoring sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from html import escape

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.release.gates import Estimate
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, live_version
from airflow_mlops_provider.render import charts
from airflow_mlops_provider.render.pages import intervals
from airflow_mlops_provider.render.parts import (
    NONE,
    card,
    document,
    facts,
    guarded,
    moves,
    pill,
    quiet,
    table,
    troubles,
    way_back,
)
from airflow_mlops_provider.storage.artifacts import MANIFEST
from airflow_mlops_provider.ui.evidence import (
    duration,
    folder,
    job_links,
    lineage_link,
    moment,
    month,
    outcome,
    report_link,
    report_page,
    shown,
    since,
    title,
    with_manifest,
    words,
)
from airflow_mlops_provider.ui.record import ProductRecord, Seen, StageState, Unreadable, Version

MOST_VERSIONS = 12
MOST_COMPARED = 8
MOST_INTERVALS = 24
MOST_RUNS = 15


def product(record: ProductRecord | Unreadable) -> str:
    """Return a product's page."""
    back = way_back(("MLOps", "./"), (record.name, ""))
    if isinstance(record, Unreadable):
        return document(record.name, f"{back}<h1>{title(record.name)}</h1><br>{troubles(record.troubles)}")
    body = "".join(guarded(name, partial(part, record)) for name, part in _PARTS)
    return document(record.name, f"{back}{_head(record)}{troubles(record.troubles)}{body}")


def _head(record: ProductRecord) -> str:
    what, latest = record.product, record.latest()
    listed = {
        "Success means": f"{what.business.kpi.name}: {what.business.kpi.target:g} {what.business.kpi.unit}",
        "Worth": f"{what.business.value.per_hit:,.0f} {what.business.value.currency} a hit, "
        f"{-what.business.value.per_false_alarm:,.0f} a false alarm",
        "Judged by": f"{what.evaluation.metric.replace('_', ' ')}, at least {what.evaluation.gates.min_metric:g}",
        "Owner": what.business.owners.ml_engineer,
        "For": what.business.owners.business_stakeholder,
    }
    updated = f"<span class='right'>last job {moment(latest)}</span>" if latest else ""
    return (
        f"{updated}<h1>{title(what.name)}</h1><p class='goal'>{escape(what.goal)}</p>"
        f"{facts({name: escape(value) for name, value in listed.items()})}"
    )


def _now(record: ProductRecord) -> str:
    return f"<div class='two'>{_live(record)}{_compared(record)}</div>"


def _loop(record: ProductRecord) -> str:
    stages = "".join(_stage(record, stage) for stage in record.stages())
    return card("The loop", f"<ol class='loop'>{stages}</ol>")


def _stage(record: ProductRecord, stage: StageState) -> str:
    found = stage.manifest
    lines = [f"<span>{escape(stage.text)}</span>"]
    if found:
        lines += [f"<span>{month(found.spec.interval)}</span>"] if found.spec.interval else []
        lines += [f"<span>{duration(found.seconds)}</span>", f"<span>{job_links(record, found)}</span>"]
    return f"<li class='{stage.state}'><b>{escape(stage.stage)}</b>{''.join(lines)}</li>"


def _live(record: ProductRecord) -> str:
    live = live_version(record.entries)
    if live is None:
        return card("Live", quiet("No version answers in production yet."))
    made = [entry for entry in record.entries if entry.version.version == live.version]
    number = f"<p class='big'>v{live.version} <small>since {since(record, live)}</small></p>"
    links = next((_evidence(one, record) for one in record.versions() if one.number == live.version), "")
    return card("Live, and why", f"{number}{_moves(made)}<p>{links}</p>")


def _moves(made: Iterable[LedgerEntry]) -> str:
    return moves((entry.status.value, entry.reason) for entry in made)


def _compared(record: ProductRecord) -> str:
    known = [one for one in record.versions() if one.evaluation]
    drawing = {f"v{one.number}": one.evaluation.challenger for one in known[:MOST_COMPARED] if one.evaluation}
    if not drawing:
        return card("Versions compared", quiet("Nothing has been registered yet."))
    note = f"{words(record.product.evaluation.metric)} on each version's own evaluation window, with its 95 % interval"
    note += _cut(len(known), MOST_COMPARED)
    return card("Versions compared", f"<div class='compare'>{intervals(drawing)}{quiet(note)}</div>")


def _monitoring(record: ProductRecord) -> str:
    every = record.seen()
    if not every:
        return card("Monitoring", quiet("Nothing has been predicted and judged yet."))
    seen = every[-MOST_INTERVALS:]
    names, limits = [month(one.interval) for one in seen], record.product.monitoring
    shares = [one.drift.facts["share"] if one.drift else None for one in seen]
    line = charts.line(
        names, [_metric(one) for one in seen], limits.min_metric, [report_page(o.performance) for o in seen]
    )
    bars = charts.bars(names, shares, limits.drift_share, [report_page(one.drift) for one in seen])
    head = ("interval", "limits", "#inputs drifted", "#predictions moved", "#metric", "#value", "evidence")
    return (
        f"<div class='two'>{card('Performance of what was live', line)}{card('Share of inputs that drifted', bars)}"
        f"</div>{card('What monitoring saw', table(head, map(_seen, reversed(seen))) + _rest(len(every), len(seen)))}"
    )


def _seen(one: Seen) -> tuple[str, ...]:
    drift, metric = one.drift, _metric(one)
    value = one.performance.facts["value"] if one.performance else None
    return (
        f"<span class='nowrap'>{month(one.interval)}</span>",
        pill("crossed", "crossed", "; ".join(one.crossed)) if one.crossed else pill("held", "held"),
        f"{drift.facts['share']:.0%}" if drift else NONE,
        f"{drift.facts['prediction']:.3f}" if drift else NONE,
        f"{metric.value:.4f}" if metric else NONE,
        f"{value['amount']:,.0f} {escape(value['currency'])}" if value else NONE,
        " · ".join([*with_manifest("drift", drift), *with_manifest("performance", one.performance)]),
    )


def _asked(record: ProductRecord) -> str:
    if not record.requests:
        return ""
    rows = [
        (
            moment(one.at),
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
    every = record.versions()
    known = every[:MOST_VERSIONS]
    head = ("version", "stands", "trained because", "#metric [95 %]", "#gain over champion", "evidence")
    rows = [_version(one, record) for one in known]
    return card("Model versions", table(head, rows) + _rest(len(every), len(known))) if known else ""


def _version(one: Version, record: ProductRecord) -> tuple[str, ...]:
    found = one.evaluation
    cause = escape(one.cause.replace("_", " ") or "history")
    return (
        f"<b>v{one.number}</b>",
        pill(one.status.value, one.status.value),
        f"<details><summary>{cause}</summary>{_moves(one.moves)}</details>",
        escape(str(found.challenger)) if found else NONE,
        f"{found.gain.value:+.4f} (v{found.champion_version})" if found and found.gain else NONE,
        _evidence(one, record),
    )


def _evidence(one: Version, record: ProductRecord) -> str:
    manifest = [f"<a href='{shown(folder(record, one.trained), MANIFEST)}'>manifest</a>"] if one.trained else []
    reports = [*report_link("evaluation", one.report), *report_link("training data", one.validation)]
    return " · ".join([*reports, *manifest, lineage_link(record.name, one.number)])


def _runs(record: ProductRecord) -> str:
    every = record.runs()
    head = ("ended (UTC)", "job", "interval", "outcome", "DAG and run", "#took", "evidence")
    rows = [_run(record, one) for one in every[:MOST_RUNS]]
    return card("Last runs", table(head, rows) + _rest(len(every), len(rows)))


def _run(record: ProductRecord, one: Manifest) -> tuple[str, ...]:
    run = one.spec.run
    return (
        f"<span class='nowrap'>{one.ended:%d %b %H:%M:%S}</span>",
        escape(one.spec.job.replace("_", " ")),
        f"<span class='nowrap'>{month(one.spec.interval)}</span>" if one.spec.interval else NONE,
        outcome(one),
        escape(f"{run.dag_id} {run.run_id}") if run.dag_id else quiet("outside Airflow"),
        duration(one.seconds),
        job_links(record, one),
    )


def _rest(count: int, shown_count: int) -> str:
    return quiet(f"The last {shown_count} of {count}.") if count > shown_count else ""


def _cut(count: int, most: int) -> str:
    return f"; the last {most} of {count}" if count > most else ""


def _metric(one: Seen) -> Estimate | None:
    found = one.performance.facts["metric"] if one.performance else None
    return Estimate(**found) if found else None


_PARTS = (
    ("The loop", _loop),
    ("The live version", _now),
    ("What is asked of data engineering", _asked),
    ("Monitoring", _monitoring),
    ("Model versions", _versions),
    ("Last runs", _runs),
)
