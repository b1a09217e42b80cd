"""The summary of a replay at the terminal: what happened month by month, each version, and why the live one is live."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from airflow_mlops_provider.lifecycle.release.evaluation import Estimate

NOTHING = "-"
TIMELINE = ("month", "model", "pending", "drifted", "moved", "training")
RELEASED = {"approved", "shadow", "canary", "live", "retired"}
VERSIONS = ("version", "trained because", "challenger", "champion", "baseline", "gain", "outcome")


def show(console: Console, summary: dict[str, Any], home: Path) -> None:
    """Print what happened, with the reasons, and where to look further."""
    console.print(f"\n[bold]{escape(summary['goal'])}[/]\n")
    head = (*TIMELINE[:2], f"{summary['metric']} [95 %]", *TIMELINE[2:])
    console.print(_table("Timeline", head, timeline(summary)))
    title = f"\nVersions: {summary['metric']} on the same later month"
    console.print(_table(title, VERSIONS, version_rows(summary)))
    console.print("\n[bold]On the way to production[/]")
    for version, became, reason, by, figures in releases(summary):
        seen = ", ".join(f"{name} {value}" for name, value in figures.items())
        console.print(f"  {version} {became}: {reason}{f' ({seen})' if seen else ''}; by {by}", markup=False)
    for line in calls(summary):
        console.print(f"  {line}", markup=False)
    search = summary["experiment"]
    if search:
        console.print(f"\n[bold]Experiment: {search['stopped']}[/]")
        for line in experiment(search):
            console.print(f"  {line}", markup=False)
    live = summary["live"]
    console.print(f"\n[bold]Live: {'version ' + str(live['version']) if live else 'nothing'}[/]")
    for line in live["why"] if live else ():
        console.print(f"  {line}", markup=False)
    console.print(f"\n{summary['tasks']} tasks in {len(summary['runs'])} runs, {summary['seconds']:.0f} s")
    console.print(f"record   {home / 'summary.json'}\npage     {(home / 'summary.html').resolve().as_uri()}")
    console.print("look on  make up   (Airflow and MLflow with everything that just happened)")


def timeline(summary: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield one row per data interval; the last column says what was decided about training, and why."""
    for month in summary["months"]:
        predictions, drift, performance = (month.get(key) or {} for key in ("predictions", "drift", "performance"))
        metric = performance.get("metric")
        yield (
            short(month["interval"]),
            f"v{predictions['version']}" if predictions else NOTHING,
            str(Estimate(**metric)) if metric else NOTHING,
            str(performance.get("pending", NOTHING)),
            f"{drift['share']:.0%}" if drift else NOTHING,
            f"{drift['prediction']:.3f}" if drift else NOTHING,
            "\n".join(map(decided, decisions(summary, month["interval"]))),
        )


def decisions(summary: dict[str, Any], interval: str) -> list[dict[str, Any]]:
    """Return what was decided about training upon one interval's events."""
    return [decision for decision in summary["decisions"] if decision["interval"] == interval]


def decided(decision: dict[str, Any]) -> str:
    """Return one decision in a line."""
    return f"{'trained' if decision['train'] else 'not yet'}: {decision['reason']}"


def version_rows(summary: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield one row per model version."""
    for version in summary["versions"]:
        evaluation, last = version["evaluation"], version["moves"][-1]
        yield (
            f"v{version['version']}",
            version["moves"][0]["reason"].removeprefix("trained because: "),
            *(
                str(Estimate(**evaluation[name])) if evaluation[name] else NOTHING
                for name in ("challenger", "champion", "baseline")
            ),
            f"{evaluation['gain']['value']:+.4f}" if evaluation["gain"] else NOTHING,
            f"{last['status']}: {last['reason']}",
        )


def releases(summary: dict[str, Any]) -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    """Yield what became of each version once its gates were passed: why, by whom, and what was observed of it."""
    for version in summary["versions"]:
        for move in version["moves"]:
            if move["status"] in RELEASED:
                yield f"v{version['version']}", move["status"], move["reason"], move["by"], move.get("observed", {})


def calls(summary: dict[str, Any]) -> Iterator[str]:
    """Yield who answered the calls that came while a version was a candidate."""
    for counted in summary["calls"]:
        answered = dict(counted["answered"])
        failed, by = answered.pop("failed", 0), ", ".join(f"{version} {count:,}" for version, count in answered.items())
        whole = sum(counted["answered"].values())
        of = f"of {whole:,} calls while v{counted['candidate']} was a candidate"
        yield f"{of} {failed or 'none'} failed; answered by {by}"


def experiment(search: dict[str, Any]) -> Iterator[str]:
    """Yield what came of the experiment, one sentence at a time."""
    best = search["best"]
    if best:
        today = f", today's settings {search['current']:.4f}" if search["current"] is not None else ""
        reached = f"trial {best['trial']} with {best['algorithm']}: {best['metric']} {best['value']:.4f}"
        yield f"best: {reached}{today}, naive baseline {search['baseline']:.4f}"
    if search["branch"]:
        yield f"the winner waits for a review on branch {search['branch']} of {search['remote']}"
    yield from (f"nothing to review: {why}" for why in search["not_exported"])
    yield from (f"{name} was left out: {why}" for name, why in search["left_out"].items())


def short(interval: str) -> str:
    """Return an interval's start, as short as it can be said: ``Apr 2013``."""
    start = datetime.fromisoformat(interval.partition("/")[0])
    return f"{start:%b %Y}" if start.day == 1 and not start.hour else f"{start:%d %b %H:%M}".removesuffix(" 00:00")


def _table(title: str, head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Table:
    table, texts = Table(title=title, title_justify="left", title_style="bold"), {"training", *VERSIONS[1::5]}
    for name in head:
        figures = name in {"pending", "drifted", "moved", "gain"}
        table.add_column(name, justify="right" if figures else "left", no_wrap=name not in texts)
    for row in rows:
        table.add_row(*map(escape, row))
    return table
