"""The summary of a replay as a page: the history in one drawing, why things went as they did, and every report."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from airflow_mlops_provider.demo.report import NOTHING, decided, decisions, experiment, short, timeline, version_rows
from airflow_mlops_provider.lifecycle.product import Monitoring
from airflow_mlops_provider.lifecycle.release.gates import Estimate
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.render import timeline as drawing
from airflow_mlops_provider.render.pages import intervals
from airflow_mlops_provider.render.parts import NONE, card, document, facts, moves, pill, quiet, table
from airflow_mlops_provider.storage.layout import manifest_beside

LEGEND = (
    "Above: the live model on labels that have arrived, with its 95 % interval, coloured by version. Below: the share "
    "of its inputs that drifted; and what each version learned from, was judged on, and served."
)


def write_page(summary: dict[str, Any], file: Path) -> None:
    """Write the page; links to reports in its folder are relative, so that the folder may be moved or packed."""
    html = (
        f"<p class='eyebrow'>{escape(summary['product'].replace('_', ' '))}: replay</p>"
        f"<h1>{escape(summary['goal'])}</h1><br>{_facts(summary)}"
        f"{card('What happened', _drawing(summary) + quiet(LEGEND))}"
        f"<div class='two'>{_live(summary)}{_look(summary)}</div>"
        f"{card('Month by month', table(_head(summary), _months(summary)))}"
        f"{card('Versions', _versions(summary))}<div class='two'>{''.join(_compared(summary))}</div>"
        f"{_experiment(summary)}"
    )
    root = f"{file.resolve().parent.as_uri()}/"
    file.write_text(document(f"{summary['product']}: replay", html.replace(f"href='{root}", "href='")))


def _facts(summary: dict[str, Any]) -> str:
    by_hand = sum(run["run_type"] not in {"scheduled", "asset_triggered"} for run in summary["runs"])
    months, worth = summary["months"], [m["performance"]["value"] for m in summary["months"] if "performance" in m]
    listed = {
        "Months": f"{short(months[0]['interval'])} to {short(months[-1]['interval'])}" if months else "none",
        "Examples": f"{sum(month['rows']['examples'] for month in months):,}",
        "Model versions": str(len(summary["versions"])),
        "Drift events": str(len(summary["drift_events"])),
        "Airflow": f"{len(summary['runs'])} runs, {summary['tasks']} tasks, {by_hand or 'none'} by hand",
        "Took": f"{summary['seconds'] / 60:.1f} minutes",
    }
    if worth:
        listed["Realised value"] = f"{sum(one['amount'] for one in worth):,.0f} {escape(worth[0]['currency'])}"
    return facts(listed)


def _drawing(summary: dict[str, Any]) -> str:
    names = [month["interval"] for month in summary["months"]]
    limits = Monitoring.model_validate(summary["limits"])
    return drawing.timeline(
        list(_steps(summary)), list(_lives(summary, names)), summary["metric"].replace("_", " "), limits
    )


def _steps(summary: dict[str, Any]) -> Iterator[drawing.Step]:
    signals = {event["interval"]["start"][:10]: event for event in summary["drift_events"]}
    made_by = {version["moves"][0]["by"].split("/")[1]: version["version"] for version in summary["versions"]}
    for month in summary["months"]:
        signal = signals.get(month["interval"][:10], {"crossed": (), "started": ()})
        metric = month.get("performance", {}).get("metric")
        yield drawing.Step(
            name=short(month["interval"]),
            version=month.get("predictions", {}).get("version"),
            metric=Estimate(**metric) if metric else None,
            share=month.get("drift", {}).get("share"),
            signal=tuple(signal["crossed"]),
            answer=next((made_by[run] for run in signal["started"] if run in made_by), None),
            performance_page=month.get("performance", {}).get("page") or "",
            drift_page=month.get("drift", {}).get("page") or "",
        )


def _lives(summary: dict[str, Any], names: list[str]) -> Iterator[drawing.Life]:
    served_in = {month.get("predictions", {}).get("version"): at for at, month in enumerate(summary["months"])}
    for version in summary["versions"]:
        trained = [names.index(name) for name in version["trained_on"]]
        judged = [names.index(name) for name in version["evaluation"]["window"].split(", ")]
        passed = [move["status"] for move in version["moves"]]
        live = passed[-1] == Status.LIVE.value
        yield drawing.Life(
            version=version["version"],
            trained=(trained[0], trained[-1]),
            judged=(judged[0], judged[-1]),
            until=None if live else served_in.get(version["version"], judged[-1]) + 1,
            served=Status.LIVE.value in passed,
            tip=version["moves"][0]["reason"],
        )


def _live(summary: dict[str, Any]) -> str:
    live = summary["live"]
    if not live:
        return card("Live", quiet("No version met its gates."))
    why = ((status, reason) for status, _, reason in (line.partition(": ") for line in live["why"]))
    return card("Live at the end, and why", f"<p class='big'>v{live['version']}</p>{moves(why)}")


def _look(summary: dict[str, Any]) -> str:
    names = {
        "mlops": "the loop in Airflow's pages",
        "airflow": "Airflow: every run and task",
        "mlflow_model": "MLflow: the registered versions",
        "mlflow": "MLflow: every training",
        "model_server": "the model server",
    }
    rows = [(escape(words), _link(summary["links"][key], summary["links"][key])) for key, words in names.items()]
    return card("Look on, after <code>make up</code>", table(("what", "where"), rows))


def _head(summary: dict[str, Any]) -> tuple[str, ...]:
    metric = f"#{summary['metric'].replace('_', ' ')} [95 %]"
    return ("month", "model", metric, "#pending", "#drifted", "#moved", "training", "reports")


def _months(summary: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for month, row in zip(summary["months"], timeline(summary), strict=True):
        told = [
            f"<p class='decided'>{_emphasised(decided(one), one['train'])}</p>"
            for one in decisions(summary, month["interval"])
        ]
        links = [
            _evidence(month[kind]["page"], words)
            for kind, words in (("validation", "data"), ("drift", "drift"), ("performance", "performance"))
            if kind in month
        ]
        name = f"<span class='nowrap'>{escape(row[0])}</span>"
        yield (name, *map(_cell, row[1:6]), "".join(told), " · ".join(links))


def _versions(summary: dict[str, Any]) -> str:
    head = ("version", "stands", "trained because", "#challenger", "#champion", "#baseline", "#gain", "evidence")
    return table(head, _version_rows(summary)) if summary["versions"] else quiet("No version yet.")


def _version_rows(summary: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for version, row in zip(summary["versions"], version_rows(summary), strict=True):
        last = version["moves"][-1]
        links = (
            _evidence(version["page"], "evaluation"),
            _evidence(version["validation"]["page"], "training data"),
            _link(version["mlflow_page"], "MLflow"),
        )
        stands = pill(last["status"], last["status"], last["reason"])
        yield (f"<b>{row[0]}</b>", stands, escape(row[1]), *map(_cell, row[2:6]), " · ".join(links))


def _compared(summary: dict[str, Any]) -> Iterator[str]:
    for version in summary["versions"]:
        found = version["evaluation"]
        names = [name for name in ("challenger", "champion", "baseline") if found[name]]
        drawing = intervals({name: Estimate(**found[name]) for name in names})
        title = f"v{version['version']} judged on {short(found['window'])}: {found['rows']:,} examples"
        yield card(escape(title), f"<div class='compare'>{drawing}</div>")


def _experiment(summary: dict[str, Any]) -> str:
    found = summary["experiment"]
    if not found:
        return ""
    told = "".join(f"<p>{escape(line)}</p>" for line in experiment(found))
    return card("Experiment", f"<p>It stopped: {escape(found['stopped'])}.</p>{told}{_link(found['page'], 'trials')}")


def _emphasised(text: str, strong: bool) -> str:
    return f"<b>{escape(text)}</b>" if strong else escape(text)


def _cell(text: str) -> str:
    return NONE if text == NOTHING else escape(text)


def _evidence(page: str, words: str) -> str:
    """Return the link to a report's page, and to the manifest beside its result's folder."""
    manifest = manifest_beside(page)
    beside = f" ({_link(manifest, 'manifest')})" if manifest else ""
    return f"{_link(page, words)}{beside}"


def _link(address: str, words: str) -> str:
    return f"<a href='{escape(address, quote=True)}'>{escape(words)}</a>"
