"""Judges a challenger against the champion and a naive baseline, on the same later window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.gates import Evaluation, LeftOut, short_of_baseline
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Problem
from airflow_mlops_provider.render.pages import evaluation_page
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.scoring.inputs import model_inputs

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PAGE = "evaluation.html"
MOST_NAMED = 20


def run(context: JobContext) -> JobResult:
    """Write ``evaluation.json`` and a page; the report passes if the challenger clears the baseline."""
    product, problem = context.product, problems.find(context.product.problem)
    window = context.read(context.input("training_set"), "evaluate")
    champion = next(iter(context.inputs("champion")), None)
    evaluation = compare(context, window, scores(context, window, champion), champion)
    (context.folder / "evaluation.json").write_text(evaluation.model_dump_json(indent=1))
    (context.folder / PAGE).write_text(evaluation_page(product, evaluation))
    for name, estimate in evaluation.contenders.items():
        context.log.info("%s of %s: %s", product.metric, name, estimate)
    short = short_of_baseline(evaluation, problem.metric(product.metric))
    return JobResult(
        kind=Report,
        facts={"evaluation": evaluation.to_json(), "model": context.input("model").hash},
        metrics={f"{name}_{product.metric}": estimate.value for name, estimate in evaluation.contenders.items()},
        fields={"about": "evaluation", "passed": short is None, "broken": (short,) if short else (), "page": PAGE},
        seed=product.trainer.seed,
    )


def scores(context: JobContext, window: pd.DataFrame, champion: ModelVersion | None) -> dict[str, np.ndarray]:
    """Return every contender's score for each row of the window."""
    product, inputs = context.product, model_inputs(context.product, window)

    def score(model: Model | ModelVersion) -> np.ndarray:
        return models.load(context.open(model)).probabilities(inputs)

    train = context.read(context.input("training_set"), "train")
    naive = problems.find(product.problem).baseline(train, window, product.label.column, product.baseline)
    compared = {"challenger": score(context.input("model")), "baseline": naive}
    return {**compared, "champion": score(champion)} if champion else compared


def compare(
    context: JobContext, window: pd.DataFrame, scored: dict[str, np.ndarray], champion: ModelVersion | None
) -> Evaluation:
    """Return the metric of each contender with its interval, the paired gain, and the challenger's slices."""
    product, problem = context.product, problems.find(context.product.problem)
    metric, seed, min_rows = product.metric, product.trainer.seed, product.gates.slice_rows
    label, score = window[product.label.column].to_numpy(), scored["challenger"]
    slices = {
        f"{column}={value}": figures
        for column in product.slices
        for value, figures in statistics.by_slice(problem, metric, window[column], label, score, min_rows).items()
    }
    return Evaluation(
        metric=metric,
        window=", ".join(context.input("training_set").facts["evaluate"]),
        rows=len(window),
        **statistics.bootstrap(problem, metric, label, scored, seed),
        champion_version=champion.version if champion else None,
        gain=statistics.gain(problem, metric, label, score, scored["champion"], seed) if champion else None,
        slices=slices,
        left_out=tuple(left_out(problem, window, label, product.slices, min_rows)),
    )


def left_out(
    problem: Problem, window: pd.DataFrame, label: np.ndarray, columns: Iterable[str], min_rows: int
) -> Iterator[LeftOut]:
    """Yield what the slices leave out; of many values the largest are named."""
    for column in columns:
        for why, values in statistics.left_out(problem, window[column], label, min_rows).items():
            largest = dict(list(values.items())[:MOST_NAMED])
            yield LeftOut(column=column, why=why, count=len(values), rows=sum(values.values()), largest=largest)
