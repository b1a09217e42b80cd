"""Predicts each row of any table with any model; for a table that needs no feature store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_mlops_provider import problems
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.jobs.tables import PREDICTIONS
from airflow_mlops_provider.lifecycle.problem import DeclaredProblem
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.problems.base import PREDICTION
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import TABLE, JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job
from airflow_mlops_provider.scoring.predictor import load_model

if TYPE_CHECKING:
    import numpy as np


class Inputs(JobInputs):
    model: Model | ModelVersion
    rows: Dataset


class Settings(JobSettings):
    """:param problem: what the predictions have to be; None where nobody says."""

    declared: ClassVar[bool] = False
    problem: DeclaredProblem | None = None


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.SERVING, makes="predictions", packages=("numpy", *TABLES), predicts=True)
def predict_table(context: Context) -> JobResult:
    """Write ``predictions``: all columns as they are, and those of the predictions."""
    rows = context.read(context.inputs.rows, TABLE)
    model = load_model(context.open(context.inputs.model), context.inputs.model)
    predicted, headline = columns(model.predict(rows), context.settings)
    if taken := [name for name in predicted if name in rows.columns]:
        raise ConfigurationError(f"the rows have a column {taken[0]!r} already; give them without")
    context.write(rows.assign(**predicted), PREDICTIONS)
    mean = {"mean_prediction": float(headline.mean())} if len(rows) else {}  # of nothing there is no mean
    context.log.info("predicted %d rows: %s", len(rows), mean)
    return JobResult(facts={"rows": len(rows), "model": context.inputs.model.hash}, metrics=mean)


def columns(scores: np.ndarray, settings: Settings) -> tuple[dict[str, Any], np.ndarray]:
    """Return the columns of predictions, numbered where nobody says what several scores are; and their headline."""
    if settings.problem is None:
        if scores.ndim == 1:
            return {PREDICTION: scores}, scores
        return {f"{PREDICTION}_{number}": values for number, values in enumerate(scores.T)}, scores
    problem = problems.find(settings.problem)
    checked = problem.checked(scores)
    return problem.columns(checked), problem.headline(checked)
