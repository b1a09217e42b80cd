"""Compares what the live model sees and says with its training window."""

from __future__ import annotations

from airflow_mlops_provider.backends.evidently import drift
from airflow_mlops_provider.jobs.predict import INPUTS
from airflow_mlops_provider.jobs.train import PREDICTION, REFERENCE
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.references import Report


def run(work: Work) -> Outcome:
    """Write Evidently's page and figures; the report passes while no drift limit is crossed."""
    product, predictions = work.product, work.input("predictions")
    found = drift(
        work.read(work.input("version"), REFERENCE),
        work.read(predictions, INPUTS),
        prediction=PREDICTION,
        folder=work.folder,
        sample=product.monitoring.sample,
        seed=product.trainer.seed,
    )
    drifted = sorted(name for name, column in found.columns.items() if column["drifted"] and name != PREDICTION)
    limits = product.monitoring
    work.log.info("%.0f %% of inputs drifted, predictions by %.3f", 100 * found.share, found.prediction)
    return Outcome(
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
