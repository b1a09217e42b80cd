"""Compares what the live model sees and says with its training window."""

from __future__ import annotations

from typing import Annotated

from airflow_mlops_provider.backends.drift.evidently import drift as compare
from airflow_mlops_provider.jobs.packages import TABLES
from airflow_mlops_provider.jobs.serving.predict import INPUTS
from airflow_mlops_provider.jobs.training.train import PREDICTION, REFERENCE
from airflow_mlops_provider.lifecycle.product import Monitoring
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion, Report
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Inputs(JobInputs):
    predictions: Dataset
    version: ModelVersion


class Settings(JobSettings):
    monitoring: Monitoring
    seed: Annotated[int, ProductField("training.trainer.seed")]


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.MONITORING, makes="drift report", result=Report, packages=("evidently", *TABLES))
def drift(context: Context) -> JobResult:
    """Write Evidently's page and figures; the report passes while no drift limit is crossed."""
    settings, predictions = context.settings, context.inputs.predictions
    found = compare(
        context.read(context.inputs.version, REFERENCE),
        context.read(predictions, INPUTS),
        prediction=PREDICTION,
        folder=context.folder,
        sample=settings.monitoring.sample,
        seed=settings.seed,
    )
    drifted = sorted(name for name, column in found.columns.items() if column["drifted"] and name != PREDICTION)
    limits = settings.monitoring
    context.log.info("%.0f %% of inputs drifted, predictions by %.3f", 100 * found.share, found.prediction)
    return JobResult(
        facts={
            "share": found.share,
            "prediction": found.prediction,
            "drifted": drifted,
            "missing": found.missing,
            "version": predictions.facts["version"],
        },
        metrics={"drift_share": found.share, "prediction_drift": found.prediction},
        passed=found.share < limits.drift_share and found.prediction < limits.prediction_drift,
        broken=tuple(drifted),
        page=found.page,
    )
