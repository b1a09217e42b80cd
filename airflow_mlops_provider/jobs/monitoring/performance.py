"""How good the predictions were, as far as the truth has arrived."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from airflow_mlops_provider import problems
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.jobs.truth import said, until, with_examples, with_truth
from airflow_mlops_provider.lifecycle.figures import Figure, Figures
from airflow_mlops_provider.lifecycle.monitoring.limits import crossed_by_metric
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate
from airflow_mlops_provider.lifecycle.sections import Value
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Problem, Truth
from airflow_mlops_provider.render.charts import estimates
from airflow_mlops_provider.render.figures import cards
from airflow_mlops_provider.render.markup import Html
from airflow_mlops_provider.render.parts import card, muted, report, table
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PAGE = "performance.html"
ENOUGH = 100


class Inputs(JobInputs):
    """:param features: whose examples hold the labels; :param truth: else the clean tables in which these arrive."""

    predictions: Dataset
    features: Dataset | None = None
    truth: tuple[Dataset, ...] = ()


class Settings(JobSettings):
    shape: Shape
    metric: Annotated[Metric, ProductField("metric")]
    seed: Annotated[int, ProductField("training.trainer.seed")] = 13
    value: Annotated[Value | None, ProductField("business.value")] = None
    min_metric: Annotated[float | None, ProductField("monitoring.min_metric")] = None


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.MONITORING, makes="performance", result=Report, packages=("numpy", *TABLES), uses=())
def performance(context: Context) -> JobResult:
    """Write ``performance.json``, ``figures.json`` and a page; rows whose truth is still out are counted, not guessed.

    What counts is what was said of a row first, by whichever version: not what was predicted of it again.
    """
    settings, columns = context.settings, context.settings.shape.label
    metric, problem = settings.metric, problems.find(settings.shape.problem)
    frame, known_by = judged_rows(context)
    arrived = frame[frame[columns.column].notna() & (frame[columns.known_at] < known_by)]
    estimate = measured(settings, problem, arrived)
    figures: dict[str, Any] = {
        "metric": estimate.to_json() if estimate else None,
        "arrived": len(arrived),
        "pending": len(frame) - len(arrived),
        "value": problem.realised_value(settings.value, arrived, columns.column) if settings.value else None,
        "versions": by_version(context, arrived, estimate),
    }
    if unjudged := problem.unjudged(arrived, columns.column):
        figures["unjudged"] = {why: len(rows) for why, rows in unjudged.items()}
    (context.folder / "performance.json").write_text(json.dumps(figures, indent=1, allow_nan=False))
    shown = problem.figures(*held(settings, problem, arrived)) if estimate else ()
    (context.folder / "figures.json").write_bytes(Figures(figures=shown).to_file())
    page = performance_page(context.product, metric.name, str(context.interval), figures, shown)
    (context.folder / PAGE).write_text(page, "utf-8")
    context.log.info("%s on %d arrived labels: %s", metric.name, len(arrived), estimate)
    crossed = crossed_by_metric(estimate.value if estimate else None, settings.min_metric, metric)
    metrics = {metric.name: estimate.value} if estimate else {}
    return JobResult(facts=figures, metrics=metrics, passed=not crossed, broken=crossed, page=PAGE, seed=settings.seed)


def judged_rows(context: Context) -> tuple[pd.DataFrame, datetime]:
    """Return what was said, beside label and moment of its becoming known, and up to when that is known."""
    shape, truth, features = context.settings.shape, context.inputs.truth, context.inputs.features
    rows, known_by = said(context, context.inputs.predictions), until(truth, context.interval.end)
    if shape.label.truth and not truth:
        return _open(shape, rows), known_by
    if shape.label.truth:
        return with_truth(context, shape, rows, truth, known_by), known_by
    if features is None:
        raise ConfigurationError(f"the labels of {shape.name!r} are in its features' examples, and none are given")
    return with_examples(context, shape, rows, features), known_by


def _open(shape: Shape, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows whose truth is still out, as no interval since theirs has been delivered."""
    import pandas as pd

    missing = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[ns, UTC]")
    return rows.assign(**{shape.label.column: pd.NA, shape.label.known_at: missing})


def by_version(context: Context, arrived: pd.DataFrame, whole: Estimate | None) -> dict[str, Any]:
    """Return how good each version was that said something of these rows. :param whole: how good all were together."""
    settings = context.settings
    problem = problems.find(settings.shape.problem)
    parts = {str(version): part for version, part in arrived.groupby("version")} if "version" in arrived else {}
    estimates = {
        version: whole if len(parts) == 1 else measured(settings, problem, part) for version, part in parts.items()
    }
    return {
        version: {"arrived": len(parts[version]), "metric": estimate.value if estimate else None}
        for version, estimate in estimates.items()
    }


def measured(settings: Settings, problem: Problem, arrived: pd.DataFrame) -> Estimate | None:
    """Return the metric with its interval; None while too few labels have arrived to judge by."""
    label = settings.shape.label
    if problem.unfit(arrived[label.column], ENOUGH):
        return None
    truth, scores = held(settings, problem, arrived)
    return statistics.bootstrap(problem, settings.metric, truth, {"live": scores}, settings.seed)["live"]


def held(settings: Settings, problem: Problem, arrived: pd.DataFrame) -> tuple[Truth, np.ndarray]:
    """Return the truth of some rows, and what was said of them."""
    label = settings.shape.label
    return problem.truth(arrived, label.column, label.weight), problem.scores(arrived)


def performance_page(
    product: str, metric: str, window: str, figures: dict[str, Any], shown: Iterable[Figure] = ()
) -> Html:
    """Return the page of the live model's performance in one data interval."""
    estimate, value = figures["metric"], figures["value"]
    counts = f"{figures['arrived']:,} labels that arrived in {window}; {figures['pending']:,} still to come"
    chart = estimates({"live": Estimate(**estimate)}) if estimate else muted("Too few labels have arrived.")
    worth = _worth(value) if value else muted("No declared value says what such predictions are worth.")
    parts = card("Performance", chart), cards(shown), card("Value", worth)
    return report(f"{product}: performance", f"{metric} on {counts}", *parts)


def _worth(value: dict[str, Any]) -> Html:
    """Return a table of what predictions were worth, and of the counts that this was made of."""
    counts = {name: part for name, part in value.items() if isinstance(part, int)}
    heads = (f"#{name.replace('_', ' ')}" for name in counts)
    return table((*heads, f"#realised value, {value['currency']}"), [(*counts.values(), f"{value['amount']:,.0f}")])
