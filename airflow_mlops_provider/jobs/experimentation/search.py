"""Opens a search: splits the training rows by time, and makes a study with a slot for each trial."""

from __future__ import annotations

from typing import Annotated

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.extras import available
from airflow_mlops_provider.jobs.experimentation.holdout import columns, measure, split
from airflow_mlops_provider.jobs.experimentation.study import OpenedSearch, RunningSearch, SearchSettings, code_of
from airflow_mlops_provider.jobs.tables import TRAIN, VALIDATE
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.search.declaration import Criteria, Pruning, incumbent
from airflow_mlops_provider.lifecycle.shape import Scoring, TimedTarget
from airflow_mlops_provider.lifecycle.source import Column
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.runtime.address import address
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import OPTUNA, job
from airflow_mlops_provider.scoring.inputs import truth_of


class Inputs(JobInputs):
    training_set: Dataset


class Settings(SearchSettings):
    scoring: Scoring | TimedTarget
    trainer: Annotated[Trainer | None, ProductField("training.trainer")] = None
    baseline: Annotated[Column | None, ProductField("evaluation.baseline")] = None
    validation: Annotated[float, ProductField("search.validation")]
    pruning: Annotated[Pruning | None, ProductField("search.pruning")]


class Params(JobParams):
    criteria: Criteria


Context = JobContext[Inputs, Settings, Params]


@job(stage=Stage.EXPERIMENTATION, makes="split", packages=OPTUNA, services=("search",), side_effects=True)
def search(context: Context) -> JobResult:
    """Write ``train`` and ``validate``, rows of the training part alone: the evaluation window is not looked at.

    The same rows, algorithms, code and packages lead to the same study: searched again, with other criteria perhaps,
    its finished trials count.
    """
    settings, (label, time) = context.settings, columns(context.settings.scoring)
    rows = context.read(context.inputs.training_set, TRAIN)
    problem = problems.find(settings.scoring.problem)
    train, validate = split(rows, settings.validation, problem, label, time)
    context.write(train, TRAIN)
    context.write(validate, VALIDATE)
    algorithms, left_out = available(settings.algorithms)
    for name, why in left_out.items():
        context.log.warning("algorithm %s is left out: %s", name, why)
    cut = str(validate[time].iloc[0])
    current = incumbent(algorithms, settings.trainer) if settings.trainer else None
    running = RunningSearch(context, study_name(context))
    naive = problem.baseline(train, validate, label.column, settings.baseline)
    opened = OpenedSearch(
        study=running.study.name,
        rows={TRAIN: len(train), VALIDATE: len(validate)},
        cut=cut,
        algorithms=tuple(algorithm.name for algorithm in algorithms),
        left_out=left_out,
        baseline=measure(problem, settings.metric, truth_of(settings.scoring, problem, validate, train), naive),
        current=0 if current else None,
        code=code_of(context),
        run_id=log_to_mlflow(context, running, cut),
    )
    slots = context.params.criteria.trials
    running.study.open(slots, opened.to_json(), current)
    context.log.info("study %s: %d slots; validation begins %s", opened.study, slots, cut)
    facts = opened.model_dump(mode="json", exclude={"code"})
    return JobResult(facts=facts, metrics={"baseline": opened.baseline}, seed=settings.seed)


def study_name(context: Context) -> str:
    """Return the study's name: the same for the same product, rows, algorithms, code and packages."""
    without_criteria = context.spec.model_copy(update={"params": {}})
    return f"{context.product}-{address(without_criteria)[:12]}"


def log_to_mlflow(context: Context, running: RunningSearch, cut: str) -> str:
    """Make the study's run in MLflow and return its id."""
    settings = context.settings
    space = {algorithm.name: algorithm.to_json()["space"] for algorithm in settings.algorithms}
    params = {"validation": settings.validation, "seed": settings.seed, "cut": cut, "space": space}
    task = context.spec.run.model_dump(include={"dag_id", "run_id", "task_id"})
    return running.mlflow.open(params, {**task, "mlops.metric": settings.metric.name}, context.inputs.training_set)
