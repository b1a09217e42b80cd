"""How good the predictions were, as far as the truth has arrived."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_mlops_provider import problems
from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.jobs.features.compute import EXAMPLES
from airflow_mlops_provider.jobs.serving.predict import PREDICTIONS
from airflow_mlops_provider.lifecycle.monitoring.limits import crossed_by_metric
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.release.gates import Estimate
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import PREDICTION, Problem
from airflow_mlops_provider.render.pages import performance_page
from airflow_mlops_provider.runtime.context import JobContext, JobResult

if TYPE_CHECKING:
    import pandas as pd

PAGE = "performance.html"
ENOUGH = 100


def run(context: JobContext) -> JobResult:
    """Write ``performance.json`` and a page; predictions whose truth is still out are counted, not guessed."""
    product, problem = context.product, problems.find(context.product.problem)
    frame = with_truth(context)
    arrived = frame[frame[product.label.known_at] < context.interval.end]
    label, score = arrived[product.label.column], arrived[PREDICTION]
    estimate = measured(problem, product.metric, label, score, product.trainer.seed)
    figures = {
        "metric": estimate.to_json() if estimate else None,
        "arrived": len(arrived),
        "pending": len(frame) - len(arrived),
        "value": problem.realised_value(product.value, label, score),
    }
    (context.folder / "performance.json").write_text(json.dumps(figures, indent=1, allow_nan=False))
    (context.folder / PAGE).write_text(performance_page(product, str(context.interval), figures))
    context.log.info("%s on %d arrived labels: %s", product.metric, len(arrived), estimate)
    metric, value = problem.metric(product.metric), estimate.value if estimate else None
    crossed = crossed_by_metric(value, product.monitoring.min_metric, metric)
    return JobResult(
        kind=Report,
        facts=figures,
        metrics={metric.name: value} if value is not None else {},
        fields={"about": "performance", "passed": not crossed, "broken": crossed, "page": PAGE},
        seed=product.trainer.seed,
    )


def with_truth(context: JobContext) -> pd.DataFrame:
    """Return the predictions beside their label and when it became known; both come row by row from one interval."""
    product = context.product
    predictions = context.read(context.input("predictions"), PREDICTIONS)
    truth = context.read(context.input("features"), EXAMPLES)[[product.label.column, product.label.known_at]]
    if len(truth) != len(predictions):
        raise IntegrityError(f"{len(predictions)} predictions for {len(truth)} examples; run batch inference again")
    return predictions.join(truth)


def measured(problem: Problem, metric: str, label: pd.Series, score: pd.Series, seed: int) -> Estimate | None:
    """Return the metric with its interval; None while too few labels have arrived to judge by."""
    known = label.dropna()
    if problem.unfit(known, ENOUGH):
        return None
    scores = {"live": score.loc[known.index].to_numpy()}
    return statistics.bootstrap(problem, metric, known.to_numpy(), scores, seed)["live"]
