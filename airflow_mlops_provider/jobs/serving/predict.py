"""Batch prediction from the offline store: every example of an interval, with the live model."""

from __future__ import annotations

from airflow_mlops_provider.jobs.features.feature_store import check_loaded, feature_store
from airflow_mlops_provider.jobs.tables import EXAMPLES, INPUTS, PREDICTIONS
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion
from airflow_mlops_provider.lifecycle.sections import Scoring
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.problems.base import PREDICTION
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import FEAST, job
from airflow_mlops_provider.scoring.predictor import Predictor


class Inputs(JobInputs):
    version: ModelVersion
    features: Dataset


class Settings(JobSettings):
    scoring: Scoring


@job(stage=Stage.SERVING, makes="predictions", packages=FEAST, publishes="predictions", predicts=True)
def predict(context: JobContext[Inputs, Settings, JobParams]) -> JobResult:
    """Write ``predictions`` (request columns, ``event_time``, prediction) and ``inputs``, what the model saw."""
    version, features, scoring = context.inputs.version, context.inputs.features, context.settings.scoring
    store = feature_store(context, scoring)
    check_loaded(context, store, [features])
    rows = context.read(features, EXAMPLES)[[*scoring.request, EVENT_TIME]]
    joined = store.historical(rows)
    predictor = Predictor.load(scoring, context.open(version), version)
    inputs = predictor.inputs(rows, joined[list(scoring.feature_types)])
    predictions = predictor.score(inputs)
    context.write(rows.assign(**{PREDICTION: predictions, "version": version.version}), PREDICTIONS)
    context.write(inputs.assign(**{PREDICTION: predictions}), INPUTS)
    mean = {"mean_prediction": float(predictions.mean())} if len(rows) else {}  # of nothing there is no mean
    context.log.info("predicted %d rows with version %d: %s", len(rows), version.version, mean)
    facts = {"rows": len(rows), "version": version.version, "features": features.hash}
    return JobResult(facts=facts, metrics=mean)
