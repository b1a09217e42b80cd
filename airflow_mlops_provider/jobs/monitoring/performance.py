"""How good the predictions were, as far as the truth has arrived."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.jobs.features.compute import EXAMPLES
from airflow_mlops_provider.jobs.packages import TABLES
from airflow_mlops_provider.jobs.serving.predict import PREDICTIONS
from airflow_mlops_provider.jobs.training.train import PREDICTION
from airflow_mlops_provider.lifecycle.metrics import Metric
from airflow_mlops_provider.lifecycle.product import Shape, Value
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.render.reports import performance_page
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job

if TYPE_CHECKING:
    import pandas as pd

REPEATS = 200
PAGE = "performance.html"
ENOUGH = 100


class Inputs(JobInputs):
    predictions: Dataset
    features: Dataset


class Settings(JobSettings):
    shape: Shape
    metric: Annotated[Metric, ProductField("evaluation.metric")]
    seed: Annotated[int, ProductField("training.trainer.seed")]
    value: Annotated[Value, ProductField("business.value")]
    min_metric: Annotated[float | None, ProductField("monitoring.min_metric")]


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.MONITORING, makes="performance report", result=Report, packages=("numpy", *TABLES))
def performance(context: Context) -> JobResult:
    """Write ``performance.json`` and a page; predictions whose truth is still out are counted, not guessed."""
    settings = context.settings
    frame = with_truth(context)
    arrived = frame[frame[settings.shape.label.known_at] < context.interval.end]
    figures = judged(settings, arrived)
    figures.update(arrived=len(arrived), pending=len(frame) - len(arrived), value=realised_value(settings, arrived))
    (context.folder / "performance.json").write_text(json.dumps(figures, indent=1, allow_nan=False))
    (context.folder / PAGE).write_text(
        performance_page(context.product, settings.metric, str(context.interval), figures)
    )
    context.log.info("%s on %d arrived labels: %s", settings.metric, len(arrived), figures["metric"])
    least = settings.min_metric
    metric = figures["metric"]["value"] if figures["metric"] else None
    return JobResult(
        facts=figures,
        metrics={settings.metric: metric} if metric is not None else {},
        passed=least is None or metric is None or metric >= least,
        page=PAGE,
        seed=settings.seed,
    )


def with_truth(context: Context) -> pd.DataFrame:
    """Return the predictions beside their label and when it became known; both come row by row from one interval."""
    settings = context.settings
    predictions = context.read(context.inputs.predictions, PREDICTIONS)
    truth = context.read(context.inputs.features, EXAMPLES)[
        [settings.shape.label.column, settings.shape.label.known_at]
    ]
    if len(truth) != len(predictions):
        raise IntegrityError(f"{len(predictions)} predictions for {len(truth)} examples; run batch inference again")
    return predictions.join(truth)


def judged(settings: Settings, arrived: pd.DataFrame) -> dict[str, Any]:
    """Return the metric with its interval, or None while too few labels of both classes have arrived."""
    label = arrived[settings.shape.label.column].dropna()
    if len(label) < ENOUGH or label.nunique() < 2:
        return {"metric": None}
    scores = {"live": arrived.loc[label.index, PREDICTION].to_numpy()}
    found = statistics.bootstrap(label.to_numpy(), scores, settings.metric, REPEATS, settings.seed)["live"]
    return {"metric": {"value": found.value, "low": found.low, "high": found.high}}


def realised_value(settings: Settings, arrived: pd.DataFrame) -> dict[str, Any]:
    """Return what the alarms were worth, given wherever one pays on average, in the product's currency."""
    value, truth = settings.value, arrived[settings.shape.label.column] == 1
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
