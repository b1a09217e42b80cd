"""Judges a challenger against the champion and a naive baseline, on the same later window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.jobs.packages import TABLES
from airflow_mlops_provider.lifecycle.metrics import Metric
from airflow_mlops_provider.lifecycle.product import Scoring
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.gates import Estimate, Evaluation, LeftOut
from airflow_mlops_provider.lifecycle.source import Column
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.render.reports import evaluation_page
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job
from airflow_mlops_provider.scoring.inputs import model_inputs

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

REPEATS = 200
PAGE = "evaluation.html"
MOST_NAMED = 20


class Inputs(JobInputs):
    model: Model
    training_set: Dataset
    champion: ModelVersion | None = None


class Settings(JobSettings):
    scoring: Scoring
    seed: Annotated[int, ProductField("training.trainer.seed")]
    metric: Annotated[Metric, ProductField("evaluation.metric")]
    baseline: Annotated[Column | None, ProductField("evaluation.baseline")]
    slices: Annotated[tuple[Column, ...], ProductField("evaluation.slices")]
    slice_rows: Annotated[int, ProductField("evaluation.gates.slice_rows")]


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.EVALUATION, makes="evaluation", result=Report, packages=("numpy", *TABLES), predicts=True)
def evaluate(context: Context) -> JobResult:
    """Write ``evaluation.json`` and a page; the report passes if the challenger clears the baseline."""
    settings, training_set = context.settings, context.inputs.training_set
    window = context.read(training_set, "evaluate")
    label = window[settings.scoring.label.column].to_numpy()
    champion = context.inputs.champion
    scores = all_scores(context, window, champion)
    evaluation = compare(context, window, label, scores, champion)
    (context.folder / "evaluation.json").write_text(evaluation.model_dump_json(indent=1))
    (context.folder / PAGE).write_text(evaluation_page(context.product, evaluation), "utf-8")
    for name in ("challenger", "champion", "baseline"):
        if getattr(evaluation, name) is not None:
            context.log.info("%s of %s: %s", settings.metric, name, getattr(evaluation, name))
    return JobResult(
        facts={"evaluation": evaluation.to_json(), "model": context.inputs.model.hash},
        metrics={
            f"{name}_{settings.metric}": getattr(evaluation, name).value
            for name in ("challenger", "champion", "baseline")
            if getattr(evaluation, name) is not None
        },
        passed=evaluation.challenger.low > evaluation.baseline.value,
        page=PAGE,
        seed=settings.seed,
    )


def all_scores(context: Context, window: pd.DataFrame, champion: ModelVersion | None) -> dict[str, np.ndarray]:
    """Return every contender's score for each row of the window."""
    inputs = model_inputs(context.settings.scoring, window)

    def score(folder: Path) -> np.ndarray:
        return models.load(folder).probabilities(inputs)

    train = context.read(context.inputs.training_set, "train")
    scores = {
        "challenger": score(context.open(context.inputs.model)),
        "baseline": naive(context.settings.scoring.label.column, context.settings.baseline, train, window),
    }
    if champion is not None:
        scores["champion"] = score(context.open(champion))
    return scores


def naive(label: str, column: str | None, train: pd.DataFrame, window: pd.DataFrame) -> np.ndarray:
    """Return the label's rate in the training part, by a baseline column if there is one."""
    import numpy as np

    overall = float(train[label].mean())
    if column is None:
        return np.full(len(window), overall)
    rates = train[label].groupby(train[column]).mean()
    return np.asarray(window[column].map(rates).astype("float64").fillna(overall))


def compare(
    context: Context,
    window: pd.DataFrame,
    label: np.ndarray,
    scores: dict[str, np.ndarray],
    champion: ModelVersion | None,
) -> Evaluation:
    """Return the metric of each contender with its interval, the paired gain, and the challenger's slices."""
    settings, seed = context.settings, context.settings.seed
    found = statistics.bootstrap(label, scores, settings.metric, REPEATS, seed)
    gain = None
    if "champion" in scores:
        gain = statistics.difference(label, scores["challenger"], scores["champion"], settings.metric, REPEATS, seed)
    slices = {
        f"{column}={value}": figures
        for column in settings.slices
        for value, figures in statistics.by_slice(
            window[column], label, scores["challenger"], settings.metric, settings.slice_rows
        ).items()
    }
    return Evaluation(
        metric=settings.metric,
        window=", ".join(context.inputs.training_set.facts["evaluate"]),
        rows=len(window),
        challenger=_estimate(found["challenger"]),
        baseline=_estimate(found["baseline"]),
        champion=_estimate(found["champion"]) if "champion" in found else None,
        champion_version=champion.version if champion else None,
        gain=_estimate(gain) if gain else None,
        slices=slices,
        left_out=tuple(left_out(settings, window, label)),
    )


def left_out(settings: Settings, window: pd.DataFrame, label: np.ndarray) -> Iterator[LeftOut]:
    """Yield what the slices leave out; of many values the largest are named."""
    for column in settings.slices:
        for why, values in statistics.left_out(window[column], label, settings.slice_rows).items():
            largest = dict(list(values.items())[:MOST_NAMED])
            yield LeftOut(column=column, why=why, count=len(values), rows=sum(values.values()), largest=largest)


def _estimate(found: statistics.Estimate) -> Estimate:
    return Estimate(value=found.value, low=found.low, high=found.high)
