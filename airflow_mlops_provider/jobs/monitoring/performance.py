"""How good the predictions were, as far as the truth has arrived."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.jobs.features.compute import EXAMPLES
from airflow_mlops_provider.jobs.serving.predict import PREDICTIONS
from airflow_mlops_provider.jobs.training.train import PREDICTION
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.render.reports import performance_page
from airflow_mlops_provider.runtime.context import JobContext, JobResult

if TYPE_CHECKING:
    import pandas as pd

REPEATS = 200
PAGE = "performance.html"
ENOUGH = 100


def run(context: JobContext) -> JobResult:
    """Write ``performance.json`` and a page; predictions whose truth is still out are counted, not guessed."""
    product = context.product
    frame = with_truth(context)
    arrived = frame[frame[product.label.known_at] < context.interval.end]
    figures = judged(product, arrived)
    figures.update(arrived=len(arrived), pending=len(frame) - len(arrived), value=realised_value(product, arrived))
    (context.folder / "performance.json").write_text(json.dumps(figures, indent=1, allow_nan=False))
    page = performance_page(product.name, product.metric, str(context.interval), figures)
    (context.folder / PAGE).write_text(page, "utf-8")
    context.log.info("%s on %d arrived labels: %s", product.metric, len(arrived), figures["metric"])
    least = product.monitoring.min_metric
    metric = figures["metric"]["value"] if figures["metric"] else None
    return JobResult(
        kind=Report,
        facts=figures,
        metrics={product.metric: metric} if metric is not None else {},
        fields={"passed": least is None or metric is None or metric >= least, "page": PAGE},
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


def judged(product: MLProduct, arrived: pd.DataFrame) -> dict[str, Any]:
    """Return the metric with its interval, or None while too few labels of both classes have arrived."""
    label = arrived[product.label.column].dropna()
    if len(label) < ENOUGH or label.nunique() < 2:
        return {"metric": None}
    scores = {"live": arrived.loc[label.index, PREDICTION].to_numpy()}
    found = statistics.bootstrap(label.to_numpy(), scores, product.metric, REPEATS, product.trainer.seed)["live"]
    return {"metric": {"value": found.value, "low": found.low, "high": found.high}}


def realised_value(product: MLProduct, arrived: pd.DataFrame) -> dict[str, Any]:
    """Return what the alarms were worth, given wherever one pays on average, in the product's currency."""
    value, truth = product.value, arrived[product.label.column] == 1
    alarm = arrived[PREDICTION] >= value.threshold
    hits = int((alarm & truth).sum())
    false_alarms = int(alarm.sum()) - hits
    return {
        "hits": hits,
        "recall": hits / max(1, int(truth.sum())),
        "false_alarms": false_alarms,
        "amount": hits * value.per_hit - false_alarms * value.per_false_alarm,
        "currency": value.currency,
    }
