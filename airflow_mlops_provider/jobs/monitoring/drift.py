"""Compares what the live model sees and says with its training window."""

from __future__ import annotations

from airflow_mlops_provider.backends.drift.evidently import drift
from airflow_mlops_provider.jobs.serving.predict import INPUTS
from airflow_mlops_provider.jobs.training.train import PREDICTION, REFERENCE
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.runtime.context import JobContext, JobResult


def run(context: JobContext) -> JobResult:
    """Write Evidently's page and figures; the report passes while no drift limit is crossed."""
    product, predictions = context.product, context.input("predictions")
    found = drift(
        context.read(context.input("version"), REFERENCE),
        context.read(predictions, INPUTS),
        prediction=PREDICTION,
        folder=context.folder,
        sample=product.monitoring.sample,
        seed=product.trainer.seed,
    )
    drifted = sorted(name for name, column in found.columns.items() if column["drifted"] and name != PREDICTION)
    limits = product.monitoring
    context.log.info("%.0f %% of inputs drifted, predictions by %.3f", 100 * found.share, found.prediction)
    return JobResult(
        kind=Report,
        facts={
            "share": found.share,
            "prediction": found.prediction,
            "drifted": drifted,
            "missing": found.missing,
            "version": predictions.facts["version"],
        },
        metrics={"drift_share": found.share, "prediction_drift": found.prediction},
        fields={
            "passed": found.share < limits.drift_share and found.prediction < limits.prediction_drift,
            "broken": tuple(drifted),
            "page": found.page,
        },
    )
