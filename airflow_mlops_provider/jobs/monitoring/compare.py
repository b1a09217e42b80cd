"""Compares two tables, whoever's they are: which columns have moved, how far, and which limits that crosses."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_mlops_provider.backends.drift.base import PAGE, Drift, drift_method_of
from airflow_mlops_provider.jobs.monitoring.columns import Pair, as_frame, paired
from airflow_mlops_provider.jobs.tables import read_plain, table_file
from airflow_mlops_provider.lifecycle.frozen import only_known
from airflow_mlops_provider.lifecycle.monitoring.limits import DriftLimits, crossed_between
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.sections import DriftMethodName
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.render.parts import card, report, table
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: So many columns are named in a report's facts; the method's own file names all.
MOST_NAMED = 50
SIDES = ("reference", "current")


class Inputs(JobInputs):
    reference: Dataset
    current: Dataset


class Settings(JobSettings):
    """How two tables are compared.

    :param columns: those that are compared; empty for all that both tables have.
    :param tables: of a dataset that has several, which is meant, by ``reference`` and ``current``.
    :param tests: the method's own tests that are run as well.
    """

    declared: ClassVar[bool] = False
    limits: DriftLimits = DriftLimits()
    method: DriftMethodName = "evidently"
    columns: tuple[str, ...] = ()
    tables: dict[str, str] = {}
    tests: tuple[str, ...] = ()
    sample: int = 5000
    seed: int = 13


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.MONITORING, makes="drift", result=Report, packages=TABLES, uses=())
def compare(context: Context) -> JobResult:
    """Write the drift method's page and figures; what can't be compared is said, and is no reason to fail."""
    settings = context.settings
    sides = {side: _table(context, side) for side in SIDES}
    rows = {side: len(table) for side, table in sides.items()}
    named = {*settings.columns, *settings.limits.columns}
    only_known("column", named, {name for table in sides.values() for name in table.column_names})
    if settings.columns:
        sides = {
            side: table.select([name for name in table.column_names if name in named]) for side, table in sides.items()
        }
    pair = paired(sides["reference"], sides["current"], named)
    for name, why in pair.left_out.items():
        context.log.warning("column %s is not compared: %s", name, why)
    frames = [as_frame(table, pair.kinds) for table in sides.values()]
    measured = _measured(context, *frames) if pair.kinds and all(rows.values()) else None
    crossed = crossed_between(measured.share, measured.columns, settings.limits) if measured else ()
    broken = (*crossed, *_unfit(rows, pair, named), *(measured.failed if measured else ()))
    _tell(context.folder / PAGE, rows, pair, broken)
    return JobResult(
        facts={"rows": rows, **_facts(measured, pair)},
        metrics={"drift_share": measured.share} if measured else {},
        passed=not broken,
        broken=broken,
        page=PAGE,
        seed=settings.seed,
    )


def _table(context: Context, side: str) -> pa.Table:
    folder = context.open(getattr(context.inputs, side))
    return read_plain(table_file(folder, context.settings.tables.get(side)))


def _unfit(rows: dict[str, int], pair: Pair, named: Collection[str]) -> Iterator[str]:
    """Yield a line for each reason why something that is wanted is not compared: it is no silent pass."""
    empty = [side for side, count in rows.items() if not count]
    yield from (f"the {side} table is empty: nothing is compared" for side in empty)
    if not empty and not pair.kinds:
        yield "no column can be compared"
    yield from (f"{name} can't be compared: {why}" for name, why in pair.left_out.items() if name in named)


def _measured(context: Context, reference: pd.DataFrame, current: pd.DataFrame) -> Drift:
    settings = context.settings
    method = drift_method_of(settings.method)
    options = {"tests": settings.tests} if settings.tests else {}
    only_known(f"option of the drift method {settings.method!r}", options, method.options)
    measure: Any = method.drift  # its options are its own
    measured: Drift = measure(
        reference,
        current,
        predictions=(),
        limits=settings.limits.columns,
        folder=context.folder,
        sample=settings.sample,
        seed=settings.seed,
        **options,
    )
    context.log.info("%.0f %% of %d columns drifted", 100 * measured.share, len(measured.columns))
    return measured


def _facts(measured: Drift | None, pair: Pair) -> dict[str, Any]:
    """Return what a reader wants without opening the files: all is counted, and a few columns are named."""
    columns = measured.columns if measured else {}
    first = sorted(columns, key=lambda name: not columns[name]["drifted"])[:MOST_NAMED]
    drifted = [name for name in columns if columns[name]["drifted"]]
    return {
        "share": measured.share if measured else None,
        "compared": len(columns),
        "drifted_count": len(drifted),
        "drifted": drifted[:MOST_NAMED],
        "columns": {name: columns[name] for name in first},
        "left_out_count": len(pair.left_out),
        "left_out": dict([*pair.left_out.items()][:MOST_NAMED]),
    }


def _tell(page: Path, rows: dict[str, int], pair: Pair, broken: tuple[str, ...]) -> None:
    """Say on the method's page what it can't know: what was not compared, and which limits are crossed."""
    counted = " and ".join(f"{count:,} rows in the {side} table" for side, count in rows.items())
    verdict = "; ".join(broken) if broken else "within its limits"
    if not page.exists():
        left_out = card("Not compared", table(("column", "why"), [*pair.left_out.items()]))
        page.write_text(report(f"drift: {verdict}", counted, left_out), "utf-8")
        return
    lines = [f"<p><b>{escape(verdict)}</b>, of {counted}, {len(pair.kinds)} columns compared</p>"]
    lines += [f"<li>{escape(name)} is not compared: {escape(why)}</li>" for name, why in pair.left_out.items()]
    text, block = page.read_text("utf-8"), f"<div style='margin:1em;font-family:sans-serif'>{''.join(lines)}</div>"
    before, body, after = text.partition("<body>")
    page.write_text(f"{before}{body}{block}{after}" if body else f"{text}{block}", "utf-8")
