"""Batch prediction from the offline store: every example of an interval, with the live model."""

from __future__ import annotations

from airflow_mlops_provider.jobs.compute import EXAMPLES
from airflow_mlops_provider.jobs.store import check_loaded, feature_store
from airflow_mlops_provider.jobs.train import PREDICTION
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.serving.predictor import Predictor

PREDICTIONS = "predictions"
INPUTS = "inputs"


def run(work: Work) -> Outcome:
    """Write ``predictions`` (request columns, ``event_time``, prediction) and ``inputs``, what the model saw."""
    version: ModelVersion = work.input("version")
    features = work.input("features")
    store = feature_store(work)
    check_loaded(work, store, [features])
    product = work.product
    rows = work.read(features, EXAMPLES)[[*product.request, "event_time"]]
    joined = store.historical(rows)
    predictor = Predictor.load(product, work.open(version), version.hash, version.version)
    inputs = predictor.inputs(rows, joined[list(product.feature_names)])
    predictions = predictor.score(inputs)
    work.write(rows.assign(**{PREDICTION: predictions, "version": version.version}), PREDICTIONS)
    work.write(inputs.assign(**{PREDICTION: predictions}), INPUTS)
    mean = {"mean_prediction": float(predictions.mean())} if len(rows) else {}  # of nothing there is no mean
    work.log.info("predicted %d rows with version %d: %s", len(rows), version.version, mean)
    return Outcome(
        facts={"rows": len(rows), "version": version.version, "features": features.hash},
        metrics=mean,
    )
