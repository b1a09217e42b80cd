"""Compares what the live model sees and says with its training window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.drift.base import PAGE, drift_method_of
from airflow_mlops_provider.jobs.tables import INPUTS, PREDICTIONS, REFERENCE
from airflow_mlops_provider.lifecycle.monitoring.limits import crossed_by_drift
from airflow_mlops_provider.lifecycle.problem import DeclaredProblem
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion, Report
from airflow_mlops_provider.lifecycle.sections import Monitoring
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.problems.base import PREDICTION
from airflow_mlops_provider.render.parts import report
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job

if TYPE_CHECKING:
    import pandas as pd


class Inputs(JobInputs):
    predictions: Dataset
    version: ModelVersion


class Settings(JobSettings):
    monitoring: Monitoring = Monitoring()
    problem: DeclaredProblem | None = None
    seed: Annotated[int, ProductField("training.trainer.seed")] = 13


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.MONITORING, makes="drift", result=Report, packages=TABLES, uses=())
def drift(context: Context) -> JobResult:
    """Write the drift method's page and figures; the report passes while no drift limit is crossed."""
    limits, version = context.settings.monitoring, context.inputs.version.version
    current = of_version(context)
    if current.empty:
        page = report(f"{context.product}: drift", f"Nothing was predicted in {context.interval}.")
        (context.folder / PAGE).write_text(page, "utf-8")
        context.log.info("nothing was predicted, so that nothing can have drifted")
        nothing = {"share": 0.0, "prediction": 0.0, "drifted": [], "missing": {}}
        return JobResult(facts={**nothing, "version": version}, passed=True, page=PAGE)
    problem = problems.find(context.settings.problem) if context.settings.problem else None
    outputs = problem.outputs if problem else (PREDICTION,)
    reference = context.read(context.inputs.version, REFERENCE)
    measured = drift_method_of(limits.drift_method).drift(
        # Where a model gives several numbers, these are compared, and not what follows from them.
        reference if PREDICTION in outputs else reference.drop(columns=PREDICTION),
        current,
        predictions=outputs,
        limits={},
        folder=context.folder,
        sample=limits.sample,
        seed=context.settings.seed,
    )
    assert measured.prediction is not None  # there is one
    context.log.info("%.0f %% of inputs drifted, predictions by %.3f", 100 * measured.share, measured.prediction)
    crossed = crossed_by_drift(measured.share, measured.prediction, limits)
    return JobResult(
        facts={
            "share": measured.share,
            "prediction": measured.prediction,
            "drifted": sorted(name for name, column in measured.columns.items() if column["drifted"]),
            "missing": measured.missing,
            "version": version,
        },
        metrics={"drift_share": measured.share, "prediction_drift": measured.prediction},
        passed=not crossed,
        broken=crossed,
        page=PAGE,
    )


def of_version(context: Context) -> pd.DataFrame:
    """Return what the version saw and said: over REST, several may have answered in one interval."""
    predictions, version = context.inputs.predictions, context.inputs.version.version
    by = context.read(predictions, PREDICTIONS)["version"]
    return context.read(predictions, INPUTS)[by.to_numpy() == version].reset_index(drop=True)
