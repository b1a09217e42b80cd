"""The summary of a replay as people see it: tables in the terminal, a page in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from airflow_mlops_provider.jobs.pages import intervals, page, table
from airflow_mlops_provider.lifecycle.gates import Estimate

TIMELINE = ("interval", "predicted by", "metric on arrived labels", "pending", "inputs drifted", "predictions moved", "signal")


def show(console: Console, summary: dict[str, Any], home: Path) -> None:
    """Print what happened, with the reasons, and where to look further."""
    console.print(f"\n[bold]{summary['goal']}[/]\n")
    months = Table(*TIMELINE, title="Timeline", title_justify="left")
    for row in timeline(summary):
        months.add_row(*row)
    console.print(months)
    versions = Table("version", "trained because", summary["metric"], "champion", "baseline", "outcome", title="Versions")
    for row in version_rows(summary):
        versions.add_row(*row)
    console.print(versions)
    live = summary["live"]
    console.print(f"\n[bold]Live: {'version ' + str(live['version']) if live else 'nothing'}[/]")
    for line in live["why"] if live else ():
        console.print(f"  {line}")
    console.print(f"\n{summary['tasks']} tasks in {len(summary['runs'])} runs, {summary['seconds']:.0f} s")
    console.print(f"record   {home / 'summary.json'}\npage     {(home / 'summary.html').resolve().as_uri()}")
    console.print("look on  make up   (Airflow and MLflow with everything that just happened)")


def timeline(summary: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield one row per data interval."""
    signals = {event["interval"]["start"][:10]: event for event in summary["drift_events"]}
    for month in summary["months"]:
        start = month["interval"][:10]
        predictions, drift, found = (month.get(key) or {} for key in ("predictions", "drift", "performance"))
        metric = found.get("metric")
        signal = signals.get(start)
        yield (
            start,
            f"v{predictions['version']}" if predictions else "–",
            str(Estimate(**metric)) if metric else "–",
            str(found.get("pending", "–")),
            f"{drift['share']:.0%}" if drift else "–",
            f"{drift['prediction']:.3f}" if drift else "–",
            "; ".join(signal["crossed"]) if signal else "",
        )


def version_rows(summary: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield one row per model version."""
    for version in summary["versions"]:
        evaluation, last = version["evaluation"], version["moves"][-1]
        yield (
            f"v{version['version']}",
            version["moves"][0]["reason"].removeprefix("trained because: "),
            *(str(Estimate(**found)) if found else "–" for found in _contenders(evaluation)),
            f"{last['status']}: {last['reason']}",
        )


def write_page(summary: dict[str, Any], file: Path) -> None:
    """Write the summary as a page with links to every report."""
    drawings = {
        f"v{version['version']} {name}": Estimate(**found)
        for version in summary["versions"]
        for name, found in zip(("challenger", "champion", "baseline"), _contenders(version["evaluation"]), strict=True)
        if found
    }
    file.write_text(
        page(
            f"{summary['product']}: replay",
            summary["goal"],
            "<h2>Timeline</h2>",
            table(TIMELINE, timeline(summary)),
            f"<h2>Versions: {summary['metric']} on the same later window</h2>",
            intervals(drawings) if drawings else "<p>No version yet.</p>",
            table(("version", "because", "challenger", "champion", "baseline", "outcome"), version_rows(summary)),
            "<h2>Reports</h2>",
            _links(summary),
        )
    )


def _contenders(evaluation: dict[str, Any]) -> tuple[Any, Any, Any]:
    return evaluation["challenger"], evaluation["champion"], evaluation["baseline"]


def _links(summary: dict[str, Any]) -> str:
    items = [
        f"<li><a href='{month[kind]['page']}'>{kind}, {month['interval'][:10]}</a></li>"
        for month in summary["months"]
        for kind in ("drift", "performance")
        if kind in month
    ]
    items += [f"<li><a href='{v['page']}'>evaluation of v{v['version']}</a></li>" for v in summary["versions"]]
    return f"<ul>{''.join(items)}</ul>"
