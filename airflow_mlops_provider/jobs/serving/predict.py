"""Batch prediction from the offline store: every example of an interval, with the live model."""

from __future__ import annotations

from airflow_mlops_provider.jobs.features.compute import EXAMPLES
from airflow_mlops_provider.jobs.features.feature_store import check_loaded, feature_store
from airflow_mlops_provider.jobs.training.train import PREDICTION
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.scoring.predictor import Predictor

PREDICTIONS = "predictions"
INPUTS = "inputs"


def run(context: JobContext) -> JobResult:
    """Write ``predictions`` (request columns, ``event_time``, prediction) and ``inputs``, what the model saw."""
    version: ModelVersion = context.input("version")
    features = context.input("features")
    store = feature_store(context)
    check_loaded(context, store, [features])
    product = context.product
    rows = context.read(features, EXAMPLES)[[*product.request, EVENT_TIME]]
    joined = store.historical(rows)
    predictor = Predictor.load(product, context.open(version), version.hash, version.version)
    inputs = predictor.inputs(rows, joined[list(product.feature_names)])
    predictions = predictor.score(inputs)
    context.write(rows.assign(**{PREDICTION: predictions, "version": version.version}), PREDICTIONS)
    context.write(inputs.assign(**{PREDICTION: predictions}), INPUTS)
    mean = {"mean_prediction": float(predictions.mean())} if len(rows) else {}  # of nothing there is no mean
    context.log.info("predicted %d rows with version %d: %s", len(rows), version.version, mean)
    return JobResult(
        facts={"rows": len(rows), "version": version.version, "features": features.hash},
        metrics=mean,
    )
