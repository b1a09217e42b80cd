"""The summary of a replay as a page: the history in one drawing, why things went as they did, and every report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_mlops_provider.demo.report import (
    NOTHING,
    calls,
    decided,
    decisions,
    experiment,
    releases,
    short,
    timeline,
    version_rows,
)
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.sections import Monitoring
from airflow_mlops_provider.render import parts
from airflow_mlops_provider.render import timeline as history
from airflow_mlops_provider.render.charts import estimates
from airflow_mlops_provider.render.markup import Content, Html, join, tag
from airflow_mlops_provider.storage.layout import manifest_beside

LEGEND = (
    "Above: the live model on labels that have arrived, with its 95 % interval, coloured by version. Below: the share "
    "of its inputs that drifted; and what each version was trained on, judged on, and served."
)
SERVICES = {
    "mlops": "the loop in Airflow's pages",
    "airflow": "Airflow: every run and task",
    "mlflow_model": "MLflow: the registered versions",
    "mlflow": "MLflow: every training",
    "model_server": "the model server",
}
OBSERVED = {"calls": "calls", "errors": "errors", "p99_ms": "p99, ms", "live_p99_ms": "live p99, ms", "shift": "shift"}
CONTENDERS = ("challenger", "champion", "baseline")


def write_page(summary: dict[str, Any], file: Path) -> None:
    """Write the page; links to reports in its folder are relative, so that the folder may be moved or packed."""
    page = parts.document(
        f"{summary['product']}: replay",
        parts.breadcrumbs((f"{summary['product'].replace('_', ' ')}: replay", "")),
        tag("h1", summary["goal"]),
        _facts(summary),
        parts.card("What happened", _history(summary), parts.muted(LEGEND)),
        parts.two(_live(summary), _services(summary)),
        parts.card("Month by month", parts.table(_head(summary), _months(summary))),
        parts.card("Versions", _versions(summary)),
        _releases(summary),
        parts.two(*_compared(summary)),
        _experiment(summary),
    )
    file.write_text(str(page).replace(f"href='{file.resolve().parent.as_uri()}/", "href='"), "utf-8")


def _facts(summary: dict[str, Any]) -> Html:
    by_hand = sum(run["run_type"] not in {"scheduled", "asset_triggered"} for run in summary["runs"])
    months = summary["months"]
    values = [month["performance"]["value"] for month in months if "performance" in month]
    listed = {
        "Months": f"{short(months[0]['interval'])} to {short(months[-1]['interval'])}" if months else "none",
        "Examples": f"{sum(month['rows']['examples'] for month in months):,}",
        "Model versions": str(len(summary["versions"])),
        "Drift events": str(len(summary["drift_events"])),
        "Airflow": f"{len(summary['runs'])} runs, {summary['tasks']} tasks, {by_hand or 'none'} by hand",
        "Took": f"{summary['seconds'] / 60:.1f} minutes",
    }
    if values:
        listed["Realised value"] = f"{sum(value['amount'] for value in values):,.0f} {values[0]['currency']}"
    return parts.facts(listed)


def _history(summary: dict[str, Any]) -> Html:
    names = [month["interval"] for month in summary["months"]]
    limits = Monitoring.model_validate(summary["limits"])
    metric = summary["metric"].replace("_", " ")
    versions = list(_spans(summary, names))
    return history.timeline(list(_steps(summary)), versions, metric, limits.min_metric, limits.drift_share)


def _steps(summary: dict[str, Any]) -> Iterator[history.Step]:
    signals = {event["interval"]["start"][:10]: event for event in summary["drift_events"]}
    made_by = {version["moves"][0]["by"].split("/")[1]: version["version"] for version in summary["versions"]}
    for month in summary["months"]:
        signal = signals.get(month["interval"][:10], {"crossed": (), "started": ()})
        performance, drift = month.get("performance", {}), month.get("drift", {})
        metric = performance.get("metric")
        yield history.Step(
            name=short(month["interval"]),
            version=month.get("predictions", {}).get("version"),
            metric=Estimate(**metric) if metric else None,
            share=drift.get("share"),
            signal=tuple(signal["crossed"]),
            answer=next((made_by[run] for run in signal["started"] if run in made_by), None),
            performance_page=performance.get("page") or "",
            drift_page=drift.get("page") or "",
        )


def _spans(summary: dict[str, Any], names: list[str]) -> Iterator[history.VersionSpan]:
    served_in = {month.get("predictions", {}).get("version"): at for at, month in enumerate(summary["months"])}
    for version in summary["versions"]:
        trained = [names.index(name) for name in version["trained_on"]]
        judged = [names.index(name) for name in version["evaluation"]["window"].split(", ")]
        passed = [move["status"] for move in version["moves"]]
        live = passed[-1] == Status.LIVE.value
        yield history.VersionSpan(
            version=version["version"],
            trained=(trained[0], trained[-1]),
            judged=(judged[0], judged[-1]),
            until=None if live else served_in.get(version["version"], judged[-1]) + 1,
            served=Status.LIVE.value in passed,
            tip=version["moves"][0]["reason"],
        )


def _live(summary: dict[str, Any]) -> Html:
    live = summary["live"]
    if not live:
        return parts.card("Live", parts.muted("No version met its gates."))
    why = ((status, reason) for status, _, reason in (line.partition(": ") for line in live["why"]))
    return parts.card("Live at the end, and why", tag("p", f"v{live['version']}", class_="big"), parts.changes(why))


def _services(summary: dict[str, Any]) -> Html:
    rows = [(words, parts.link(summary["links"][key], summary["links"][key])) for key, words in SERVICES.items()]
    return parts.card(join(("Look on, after ", tag("code", "make up"))), parts.table(("what", "where"), rows))


def _head(summary: dict[str, Any]) -> tuple[str, ...]:
    metric = f"#{summary['metric'].replace('_', ' ')} [95 %]"
    return ("month", "model", metric, "#pending", "#drifted", "#moved", "training", "reports")


def _months(summary: dict[str, Any]) -> Iterator[tuple[Content, ...]]:
    for month, row in zip(summary["months"], timeline(summary), strict=True):
        reasons = (
            tag("p", tag("b", decided(decision)) if decision["train"] else decided(decision), class_="decision")
            for decision in decisions(summary, month["interval"])
        )
        reports = (
            _evidence(month[kind]["page"], words)
            for kind, words in (("validation", "data"), ("drift", "drift"), ("performance", "performance"))
            if kind in month
        )
        yield tag("span", row[0], class_="nowrap"), *map(_cell, row[1:6]), join(reasons), parts.links(*reports)


def _versions(summary: dict[str, Any]) -> Html:
    head = ("version", "status", "trained because", "#challenger", "#champion", "#baseline", "#gain", "evidence")
    return parts.table(head, _version_rows(summary)) if summary["versions"] else parts.muted("No version yet.")


def _version_rows(summary: dict[str, Any]) -> Iterator[tuple[Content, ...]]:
    for version, row in zip(summary["versions"], version_rows(summary), strict=True):
        last = version["moves"][-1]
        evidence = parts.links(
            _evidence(version["page"], "evaluation"),
            _evidence(version["validation"]["page"], "training data"),
            parts.link(version["mlflow_page"], "MLflow"),
        )
        status = parts.badge(last["status"], last["status"], last["reason"])
        yield tag("b", row[0]), status, row[1], *map(_cell, row[2:6]), evidence


def _releases(summary: dict[str, Any]) -> Html:
    """Return who let each version go on, and what a candidate did beside the live version."""
    head = ("version", "became", "because", "by", *(f"#{words}" for words in OBSERVED.values()))
    rows = (
        (tag("b", version), parts.badge(became, became), reason, by, *(figures.get(name) for name in OBSERVED))
        for version, became, reason, by, figures in releases(summary)
    )
    return parts.card("On the way to production", parts.table(head, rows), *(tag("p", line) for line in calls(summary)))


def _compared(summary: dict[str, Any]) -> Iterator[Html]:
    for version in summary["versions"]:
        evaluation = version["evaluation"]
        chart = estimates({name: Estimate(**evaluation[name]) for name in CONTENDERS if evaluation[name]})
        title = f"v{version['version']} judged on {short(evaluation['window'])}: {evaluation['rows']:,} examples"
        yield parts.card(title, tag("div", chart, class_="compare"))


def _experiment(summary: dict[str, Any]) -> Html | None:
    results = summary["experiment"]
    if not results:
        return None
    lines = (tag("p", line) for line in (f"It stopped: {results['stopped']}.", *experiment(results)))
    return parts.card("Experiment", *lines, parts.link(results["page"], "trials"))


def _cell(text: str) -> str | None:
    return None if text == NOTHING else text


def _evidence(page: str, words: str) -> Html:
    """Return the link to a report's page, and to the manifest beside its result's folder."""
    manifest = manifest_beside(page)
    beside = (" (", parts.link(manifest, "manifest"), ")") if manifest else ()
    return join((parts.link(page, words), *beside))
