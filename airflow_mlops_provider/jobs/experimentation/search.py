"""Opens a search: splits the training rows by time, and makes a study with a slot for each trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from airflow_mlops_provider.backends.extras import available
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.evaluation.evaluate import naive
from airflow_mlops_provider.jobs.experimentation.searching import code_of, mlflow_of, study_of
from airflow_mlops_provider.jobs.packages import TABLES
from airflow_mlops_provider.jobs.training.holdout import split_tail
from airflow_mlops_provider.lifecycle.metrics import Metric
from airflow_mlops_provider.lifecycle.product import LabelColumns, Scoring
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Criteria, Pruning, incumbent
from airflow_mlops_provider.lifecycle.source import Column
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.runtime.address import address
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job

if TYPE_CHECKING:
    import pandas as pd

TRAIN, VALIDATE = "train", "validate"
TIME = "event_time"


class Inputs(JobInputs):
    training_set: Dataset


class Settings(JobSettings):
    scoring: Scoring
    trainer: Annotated[Trainer, ProductField("training.trainer")]
    metric: Annotated[Metric, ProductField("evaluation.metric")]
    baseline: Annotated[Column | None, ProductField("evaluation.baseline")]
    algorithms: Annotated[tuple[Algorithm, ...], ProductField("search.algorithms")]
    seed: Annotated[int, ProductField("search.seed")]
    validation: Annotated[float, ProductField("search.validation")]
    pruning: Annotated[Pruning | None, ProductField("search.pruning")]


class Params(JobParams):
    criteria: Criteria


Context = JobContext[Inputs, Settings, Params]


@job(
    stage=Stage.EXPERIMENTATION,
    makes="split",
    packages=("optuna", "numpy", *TABLES),
    services=("search",),
    side_effects=True,
)
def search(context: Context) -> JobResult:
    """Write ``train`` and ``validate``, rows of the training part alone: the evaluation window is not looked at.

    The same rows, algorithms, code and packages lead to the same study: searched again, with other criteria perhaps,
    its finished trials count.
    """
    settings = context.settings
    train, validate = split(
        settings.scoring.label, context.read(context.inputs.training_set, TRAIN), settings.validation
    )
    cut = str(validate[TIME].iloc[0])
    context.write(train, TRAIN)
    context.write(validate, VALIDATE)
    offered, left_out = available(settings.algorithms)
    for name, why in left_out.items():
        context.log.warning("algorithm %s is left out: %s", name, why)
    current = incumbent(offered, settings.trainer)
    facts: dict[str, Any] = {
        "study": study_name(context),
        "rows": {TRAIN: len(train), VALIDATE: len(validate)},
        "cut": cut,
        "algorithms": [one.name for one in offered],
        "left_out": left_out,
        "baseline": metric(
            settings.metric,
            validate[settings.scoring.label.column],
            naive(settings.scoring.label.column, settings.baseline, train, validate),
        ),
        "current": 0 if current else None,
    }
    study = study_of(context, facts["study"])
    study.open(context.params.criteria.trials, {**facts, "code": code_of(context)}, current)
    run_id = tell_mlflow(context, facts)
    study.note("run_id", run_id)
    context.log.info("study %s: %d slots; validation begins %s", facts["study"], context.params.criteria.trials, cut)
    return JobResult(facts={**facts, "run_id": run_id}, metrics={"baseline": facts["baseline"]}, seed=settings.seed)


def split(label: LabelColumns, frame: pd.DataFrame, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the earlier rows and the later ones, which are about a share of all.

    :raises SourceDataError: if either part would lack one of the two labels.
    """
    parts = split_tail(label, frame, share)
    for name, part in zip((TRAIN, VALIDATE), parts, strict=True):
        if part[label.column].nunique() < 2:
            raise SourceDataError(
                f"{name} would be {len(part)} rows of one label only; take more intervals to search on"
            )
    return parts


def study_name(context: Context) -> str:
    """Return the study's name: the same for the same product, rows, algorithms, code and packages."""
    whatever_stops_it = context.spec.model_copy(update={"params": {"criteria": Criteria().to_json()}})
    return f"{context.product}-{address(whatever_stops_it)[:12]}"


def metric(name: str, label: Any, scores: Any) -> float:
    """Return the product's metric of some scores."""
    return float(statistics.METRICS[name](label, scores))


def tell_mlflow(context: Context, facts: dict[str, Any]) -> str:
    """Make the study's run in MLflow and return its id."""
    settings, run = context.settings, context.spec.run
    params = {
        "validation": settings.validation,
        "seed": settings.seed,
        "cut": facts["cut"],
        "space": space(settings.algorithms),
    }
    tags = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": run.task_id, "mlops.metric": context.settings.metric}
    return mlflow_of(context, facts["study"]).open(params, tags, context.inputs.training_set)


def space(algorithms: tuple[Algorithm, ...]) -> dict[str, Any]:
    """Return the searched settings of each algorithm as plain JSON."""
    return {one.name: {name: span.to_json() for name, span in one.space.items()} for one in algorithms}
