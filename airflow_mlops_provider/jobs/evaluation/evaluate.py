"""Judges a challenger against the champion and a naive baseline, on the same later window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.gates import Estimate, Evaluation, LeftOut
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.render.reports import evaluation_page
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.scoring.inputs import model_inputs

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

REPEATS = 200
PAGE = "evaluation.html"
MOST_NAMED = 20


def run(context: JobContext) -> JobResult:
    """Write ``evaluation.json`` and a page; the report passes if the challenger clears the baseline."""
    product, training_set = context.product, context.input("training_set")
    window = context.read(training_set, "evaluate")
    label = window[product.label.column].to_numpy()
    champion = next(iter(context.inputs("champion")), None)
    scores = all_scores(context, window, champion)
    evaluation = compare(context, window, label, scores, champion)
    (context.folder / "evaluation.json").write_text(evaluation.model_dump_json(indent=1))
    (context.folder / PAGE).write_text(evaluation_page(product.name, evaluation), "utf-8")
    for name in ("challenger", "champion", "baseline"):
        if getattr(evaluation, name) is not None:
            context.log.info("%s of %s: %s", product.metric, name, getattr(evaluation, name))
    return JobResult(
        kind=Report,
        facts={"evaluation": evaluation.to_json(), "model": context.input("model").hash},
        metrics={
            f"{name}_{product.metric}": getattr(evaluation, name).value
            for name in ("challenger", "champion", "baseline")
            if getattr(evaluation, name) is not None
        },
        fields={"passed": evaluation.challenger.low > evaluation.baseline.value, "page": PAGE},
        seed=product.trainer.seed,
    )


def all_scores(context: JobContext, window: pd.DataFrame, champion: ModelVersion | None) -> dict[str, np.ndarray]:
    """Return every contender's score for each row of the window."""
    inputs = model_inputs(context.product, window)

    def score(folder: Path) -> np.ndarray:
        return models.load(folder).probabilities(inputs)

    train = context.read(context.input("training_set"), "train")
    scores = {
        "challenger": score(context.open(context.input("model"))),
        "baseline": naive(context.product, train, window),
    }
    if champion is not None:
        scores["champion"] = score(context.open(champion))
    return scores


def naive(product: MLProduct, train: pd.DataFrame, window: pd.DataFrame) -> np.ndarray:
    """Return the label's rate in the training part, by the product's baseline column if it declares one."""
    import numpy as np

    label, column = train[product.label.column], product.baseline
    overall = float(label.mean())
    if column is None:
        return np.full(len(window), overall)
    rates = label.groupby(train[column]).mean()
    return np.asarray(window[column].map(rates).astype("float64").fillna(overall))


def compare(
    context: JobContext,
    window: pd.DataFrame,
    label: np.ndarray,
    scores: dict[str, np.ndarray],
    champion: ModelVersion | None,
) -> Evaluation:
    """Return the metric of each contender with its interval, the paired gain, and the challenger's slices."""
    product, seed = context.product, context.product.trainer.seed
    found = statistics.bootstrap(label, scores, product.metric, REPEATS, seed)
    gain = None
    if "champion" in scores:
        gain = statistics.difference(label, scores["challenger"], scores["champion"], product.metric, REPEATS, seed)
    slices = {
        f"{column}={value}": figures
        for column in product.slices
        for value, figures in statistics.by_slice(
            window[column], label, scores["challenger"], product.metric, product.gates.slice_rows
        ).items()
    }
    return Evaluation(
        metric=product.metric,
        window=", ".join(context.input("training_set").facts["evaluate"]),
        rows=len(window),
        challenger=_estimate(found["challenger"]),
        baseline=_estimate(found["baseline"]),
        champion=_estimate(found["champion"]) if "champion" in found else None,
        champion_version=champion.version if champion else None,
        gain=_estimate(gain) if gain else None,
        slices=slices,
        left_out=tuple(left_out(product, window, label)),
    )


def left_out(product: MLProduct, window: pd.DataFrame, label: np.ndarray) -> Iterator[LeftOut]:
    """Yield what the slices leave out; of many values the largest are named."""
    for column in product.slices:
        for why, values in statistics.left_out(window[column], label, product.gates.slice_rows).items():
            largest = dict(list(values.items())[:MOST_NAMED])
            yield LeftOut(column=column, why=why, count=len(values), rows=sum(values.values()), largest=largest)


def _estimate(found: statistics.Estimate) -> Estimate:
    return Estimate(value=found.value, low=found.low, high=found.high)
