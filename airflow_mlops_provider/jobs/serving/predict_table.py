"""Predicts each row of any table with any model; for a table that needs no feature store."""

from __future__ import annotations

from typing import ClassVar

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.jobs.tables import PREDICTIONS
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.problems.base import PREDICTION
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import TABLE, JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job


class Inputs(JobInputs):
    model: Model | ModelVersion
    rows: Dataset


class Settings(JobSettings):
    """:param problem: what the predictions have to be; None where nobody says."""

    declared: ClassVar[bool] = False
    problem: str | None = None


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.SERVING, makes="predictions", packages=("numpy", *TABLES), predicts=True)
def predict_table(context: Context) -> JobResult:
    """Write ``predictions``: all columns as they are, and ``prediction``."""
    rows = context.read(context.inputs.rows, TABLE)
    if PREDICTION in rows.columns:
        raise ConfigurationError(f"the rows have a column {PREDICTION!r} already; give them without")
    model = models.load(context.open(context.inputs.model))
    predictions = model.predict(rows)
    if context.settings.problem:
        problems.find(context.settings.problem).checked(predictions)
    context.write(rows.assign(**{PREDICTION: predictions}), PREDICTIONS)
    mean = {"mean_prediction": float(predictions.mean())} if len(rows) else {}  # of nothing there is no mean
    context.log.info("predicted %d rows: %s", len(rows), mean)
    return JobResult(facts={"rows": len(rows), "model": context.inputs.model.hash}, metrics=mean)
