"""Compares what the live model sees and says with its training window."""

from __future__ import annotations

from airflow_mlops_provider.backends.drift.evidently import drift
from airflow_mlops_provider.jobs.serving.predict import INPUTS
from airflow_mlops_provider.jobs.training.train import REFERENCE
from airflow_mlops_provider.lifecycle.monitoring.limits import crossed_by_drift
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.problems.base import PREDICTION
from airflow_mlops_provider.runtime.context import JobContext, JobResult


def run(context: JobContext) -> JobResult:
    """Write Evidently's page and figures; the report passes while no drift limit is crossed."""
    product, predictions = context.product, context.input("predictions")
    measured = drift(
        context.read(context.input("version"), REFERENCE),
        context.read(predictions, INPUTS),
        prediction=PREDICTION,
        folder=context.folder,
        sample=product.monitoring.sample,
        seed=product.trainer.seed,
    )
    context.log.info("%.0f %% of inputs drifted, predictions by %.3f", 100 * measured.share, measured.prediction)
    columns = measured.columns.items()
    crossed = crossed_by_drift(measured.share, measured.prediction, product.monitoring)
    return JobResult(
        kind=Report,
        facts={
            "share": measured.share,
            "prediction": measured.prediction,
            "drifted": sorted(name for name, column in columns if column["drifted"] and name != PREDICTION),
            "missing": measured.missing,
            "version": predictions.facts["version"],
        },
        metrics={"drift_share": measured.share, "prediction_drift": measured.prediction},
        fields={"about": "drift", "passed": not crossed, "broken": crossed, "page": measured.page},
    )
