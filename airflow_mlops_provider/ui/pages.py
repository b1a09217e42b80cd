"""The entry, with every product; and a product's page: its goal, the loop, the live version and why, monitoring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, live_version
from airflow_mlops_provider.lifecycle.release.waivers import results_of
from airflow_mlops_provider.render import charts, formats, parts, verdicts
from airflow_mlops_provider.render.markup import Content, Html, join, tag
from airflow_mlops_provider.ui import evidence
from airflow_mlops_provider.ui.record import Monitored, ProductRecord, StageState, Unreadable, Version

EMPTY = (
    "A product appears here as soon as one of its jobs has ended: start its feature engineering pipeline. "
    "Products made by DAGs that you may not read are not shown."
)
MOST_VERSIONS = 12
MOST_COMPARED = 8
MOST_INTERVALS = 24
MOST_RUNS = 15


def index(records: Sequence[ProductRecord | Unreadable]) -> Html:
    """Return the entry: every product with its live version, its last run and what monitoring saw."""
    if not records:
        nothing = tag("div", tag("h1", "No product has run yet"), tag("p", EMPTY), class_="empty")
        return parts.document("MLOps", nothing)
    listed = parts.table(("product", "live", "last run", "monitoring", "look at"), map(_listed, records))
    return parts.document(
        "MLOps", parts.breadcrumbs(("MLOps", "")), tag("h1", "Products"), tag("div", listed, class_="card")
    )


def _listed(record: ProductRecord | Unreadable) -> tuple[Content, ...]:
    name = parts.link(evidence.product_address(record.name), tag("b", formats.title(record.name)))
    unreadable = (name, None, None, parts.badge("failed", "not readable"))
    if isinstance(record, Unreadable):
        return (*unreadable, record.errors[0])
    try:
        return (name + tag("small", record.product.goal), *_state(record))
    except Exception as error:  # noqa: BLE001  # an odd record of one product takes no other's row away
        evidence.log.exception("%s can't be listed", record.name)
        return (*unreadable, type(error).__name__)


def _state(record: ProductRecord) -> Iterator[Content]:
    live, runs, monitored = live_version(record.entries), record.runs(), record.monitored()
    latest = monitored[-1] if monitored else None
    errors = parts.badge("failed", f"{len(record.errors)} not readable") if record.errors else None
    since = tag("small", f"since {evidence.since(record, live)}", class_="nowrap") if live else None
    yield join((tag("b", f"v{live.version}"), since)) if live else None
    yield _last(runs[0]) if runs else None
    yield join((evidence.limits(latest.crossed), formats.interval(latest.interval), errors), " ") if latest else errors
    yield parts.links(
        parts.link(evidence.product_address(record.name), "product"),
        evidence.lineage_link(record.name, live.version) if live else None,
        evidence.report_link("drift", latest.drift) if latest else None,
    )


def _last(run: Manifest) -> Html:
    ended = tag("small", formats.moment(run.ended), class_="nowrap")
    return join((evidence.outcome(run), run.spec.job.replace("_", " "), ended), " ")


def product(record: ProductRecord | Unreadable) -> Html:
    """Return a product's page."""
    way, errors = parts.breadcrumbs(("MLOps", "./"), (record.name, "")), evidence.unreadable(record.errors)
    if isinstance(record, Unreadable):
        return parts.document(record.name, way, tag("h1", formats.title(record.name)), errors)
    cards = (evidence.guarded(name, partial(part, record)) for name, part in _PARTS)
    return parts.document(record.name, way, *_head(record), errors, *cards)


def _head(record: ProductRecord) -> Iterator[Html]:
    what, runs = record.product, record.runs()
    if runs:
        yield tag("span", f"last job {formats.moment(runs[0].ended)}", class_="right")
    yield tag("h1", formats.title(what.name))
    yield tag("p", what.goal, class_="lead")
    business, least = what.business, what.evaluation.gates.min_metric
    aim = f"{business.kpi.name}: {business.kpi.target:g} {business.kpi.unit}" if business else "not said"
    limit = "the naive baseline" if least is None else f"{least:g}"
    bound = "at least" if what.metric.higher_is_better else "at most"
    yield parts.facts(
        {
            "Success means": aim,
            **({"Worth": str(business.value)} if business and business.value else {}),
            "Judged by": f"{what.metric.name.replace('_', ' ')}, {bound} {limit}",
            "Owner": what.owner("ml_engineer"),
            "For": what.owner("business_stakeholder"),
        }
    )


def _loop(record: ProductRecord) -> Html:
    return parts.card("The loop", tag("ol", *(_stage(record, stage) for stage in record.stages()), class_="loop"))


def _stage(record: ProductRecord, stage: StageState) -> Html:
    manifest, lines = stage.manifest, [stage.text]
    if manifest:
        lines += [formats.interval(manifest.spec.interval)] if manifest.spec.interval else []
        lines += [formats.duration(manifest.seconds), evidence.job_links(record, manifest)]
    return tag("li", tag("b", stage.stage), *(tag("span", line) for line in lines), class_=stage.state)


def _live(record: ProductRecord) -> Html:
    live = live_version(record.entries)
    if live is None:
        return parts.card("Live", parts.muted("No version answers in production yet."))
    version = next(version for version in record.versions() if version.number == live.version)
    number = tag("p", f"v{live.version} ", tag("small", f"since {evidence.since(record, live)}"), class_="big")
    why = _changes(version.moves), _gates(version), tag("p", _evidence(version, record))
    return parts.card("Live, and why", number, *why)


def _gates(version: Version) -> Html | None:
    results = results_of(version.moves, version.number)
    return verdicts.gates(results.values()) if results else None


def _changes(entries: Iterable[LedgerEntry]) -> Html:
    return parts.changes((entry.became, entry.reason) for entry in entries)


def _compared(record: ProductRecord) -> Html:
    judged = {f"v{version.number}": version.evaluation for version in record.versions() if version.evaluation}
    estimates = {name: evaluation.challenger for name, evaluation in [*judged.items()][:MOST_COMPARED]}
    if not estimates:
        return parts.card("Versions compared", parts.muted("Nothing has been registered yet."))
    metric = formats.title(record.product.metric.name)
    note = f"{metric} on each version's own evaluation window, with its 95 % interval"
    note += f"; the last {MOST_COMPARED} of {len(judged)}" if len(judged) > MOST_COMPARED else ""
    return parts.card("Versions compared", tag("div", charts.estimates(estimates), parts.muted(note), class_="compare"))


def _requests(record: ProductRecord) -> Html | None:
    rows = [
        (formats.moment(made.at), made.to, made.what, made.study, parts.links(*_reports(record, made.evidence)))
        for made in record.requests
    ]
    head = ("since", "of", "what must change", "study", "evidence")
    return parts.card("Requests to data engineering", parts.table(head, rows)) if rows else None


def _reports(record: ProductRecord, addresses: Iterable[str]) -> Iterator[Html]:
    """Yield links to the pages among some addresses that lie in the artifact root; others are not Airflow's to show."""
    for address in addresses:
        if address.startswith(f"{record.root}/"):
            uri, _, file = address.rpartition("/")
            yield parts.link(evidence.file_address(uri, file), file.partition(".")[0])


def _monitoring(record: ProductRecord) -> Html:
    every = record.monitored()
    if not every:
        return parts.card("Monitoring", parts.muted("Nothing has been predicted and judged yet."))
    shown, limits = every[-MOST_INTERVALS:], record.product.monitoring
    names = [formats.interval(monitored.interval) for monitored in shown]
    metric_pages = [evidence.report_address(monitored.performance) for monitored in shown]
    trend = charts.trend(names, [*map(_metric, shown)], limits.min_metric, metric_pages)
    shares = [monitored.drift.facts["share"] if monitored.drift else None for monitored in shown]
    drift_pages = [evidence.report_address(monitored.drift) for monitored in shown]
    drift = charts.shares(names, shares, limits.drift_share, drift_pages)
    head = ("interval", "limits", "#inputs drifted", "#predictions moved", "#metric", "#value", "evidence")
    listed = parts.table(head, map(_monitored, reversed(shown)))
    cards = parts.card("Performance of what was live", trend), parts.card("Share of inputs that drifted", drift)
    return parts.two(*cards) + parts.card("What monitoring saw", listed, _rest(len(every), len(shown)))


def _monitored(monitored: Monitored) -> tuple[Content | float, ...]:
    drift, metric = monitored.drift, _metric(monitored)
    value = monitored.performance.facts["value"] if monitored.performance else None
    performance_link = evidence.report_and_manifest("performance", monitored.performance)
    return (
        tag("span", formats.interval(monitored.interval), class_="nowrap"),
        evidence.limits(monitored.crossed),
        f"{drift.facts['share']:.0%}" if drift else None,
        f"{drift.facts['prediction']:.3f}" if drift else None,
        metric.value if metric else None,
        f"{value['amount']:,.0f} {value['currency']}" if value else None,
        parts.links(evidence.report_and_manifest("drift", drift), performance_link),
    )


def _versions(record: ProductRecord) -> Html | None:
    every = record.versions()
    shown = every[:MOST_VERSIONS]
    head = ("version", "status", "trained because", "#metric [95 %]", "#gain over champion", "evidence")
    rows = [_version(version, record) for version in shown]
    return parts.card("Model versions", parts.table(head, rows), _rest(len(every), len(shown))) if shown else None


def _version(version: Version, record: ProductRecord) -> tuple[Content, ...]:
    evaluation = version.evaluation
    cause = version.cause.replace("_", " ") or "history"
    gain = f"{evaluation.gain.value:+.4f} (v{evaluation.champion_version})" if evaluation and evaluation.gain else None
    return (
        tag("b", f"v{version.number}"),
        parts.badge(version.status.value, version.status.value),
        tag("details", tag("summary", cause), _changes(version.moves), _gates(version)),
        str(evaluation.challenger) if evaluation else None,
        gain,
        _evidence(version, record),
    )


def _evidence(version: Version, record: ProductRecord) -> Html:
    return parts.links(
        evidence.card_link(record.root, version.registered),
        evidence.report_link("evaluation", version.report),
        evidence.report_link("training data", version.validation),
        evidence.manifest_link(evidence.manifest_folder(record, version.trained)) if version.trained else None,
        evidence.lineage_link(record.name, version.number),
    )


def _runs(record: ProductRecord) -> Html:
    every = record.runs()
    rows = [_run(record, run) for run in every[:MOST_RUNS]]
    head = ("ended (UTC)", "job", "interval", "outcome", "DAG and run", "#took", "evidence")
    return parts.card("Last runs", parts.table(head, rows), _rest(len(every), len(rows), older=record.older))


def _run(record: ProductRecord, manifest: Manifest) -> tuple[Content, ...]:
    spec, run = manifest.spec, manifest.spec.run
    return (
        tag("span", f"{manifest.ended:%d %b %H:%M:%S}", class_="nowrap"),
        spec.job.replace("_", " "),
        tag("span", formats.interval(spec.interval), class_="nowrap") if spec.interval else None,
        evidence.outcome(manifest),
        f"{run.dag_id} {run.run_id}" if run.dag_id else parts.muted("outside Airflow"),
        formats.duration(manifest.seconds),
        evidence.job_links(record, manifest),
    )


def _rest(count: int, shown: int, *, older: bool = False) -> Html | None:
    return parts.muted(f"The last {shown} of {'more than ' * older}{count}.") if count > shown or older else None


def _metric(monitored: Monitored) -> Estimate | None:
    metric = monitored.performance.facts["metric"] if monitored.performance else None
    return Estimate(**metric) if metric else None


_PARTS = (
    ("The loop", _loop),
    ("The live version", lambda record: parts.two(_live(record), _compared(record))),
    ("Requests to data engineering", _requests),
    ("Monitoring", _monitoring),
    ("Model versions", _versions),
    ("Last runs", _runs),
)
