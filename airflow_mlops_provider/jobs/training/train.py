"""Trains a model with the product's plain function, keeps it in a format that needs no unpickling, tells MLflow."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.inputs import check_learnable
from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.jobs.packages import TABLES
from airflow_mlops_provider.lifecycle.plain import finite, plain
from airflow_mlops_provider.lifecycle.product import Scoring
from airflow_mlops_provider.lifecycle.references import Dataset, Model
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.problems.base import PREDICTION, Problem
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.checkpoints import Checkpoints
from airflow_mlops_provider.runtime.code import load
from airflow_mlops_provider.runtime.context import JobContext, JobResult, kept
from airflow_mlops_provider.runtime.definition import job
from airflow_mlops_provider.scoring.inputs import model_inputs

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("mlops.train")
REFERENCE = "reference"
REFERENCE_ROWS = 10_000


class Inputs(JobInputs):
    training_set: Dataset


class Settings(JobSettings):
    scoring: Scoring
    trainer: Annotated[Trainer, ProductField("training.trainer")]


class Params(JobParams):
    """:param trainer, settings: what took the place of the declared trainer, or of some of its settings."""

    trainer: dict[str, Any] | None = None
    settings: dict[str, Any] = {}


Context = JobContext[Inputs, Settings, Params]


@job(stage=Stage.TRAINING, makes="model", result=Model, packages=("numpy", *TABLES))
def train(context: Context) -> JobResult:
    """Write the model and ``reference``: a sample of its training inputs and what it predicts for them."""
    training_set, trainer = context.inputs.training_set, context.settings.trainer
    frame = context.read(training_set, "train")
    scoring = context.settings.scoring
    inputs, label = model_inputs(scoring, frame), frame[scoring.label.column]
    began = time.monotonic()
    trained = fit(trainer, problems.find(scoring.problem), inputs, label, context.checkpoints)
    seconds = time.monotonic() - began
    model = models.save(trained, context.folder, trainer.flavor, inputs)
    sample = inputs.sample(min(REFERENCE_ROWS, len(inputs)), random_state=trainer.seed).sort_index()
    sample[PREDICTION] = model.probabilities(sample)
    context.write(sample, REFERENCE)
    context.log.info("trained in %.1f s", seconds)
    metrics = {"train_seconds": seconds, **kept(finite, getattr(trained, "metrics", {}))}
    facts = kept(plain, dict(getattr(trained, "facts", {})), "facts")
    run_id = tell_mlflow(context, training_set, {**trainer.settings, "seed": trainer.seed}, metrics, facts)
    return JobResult(
        facts={"run_id": run_id, "training_set": training_set.to_json(), **({"training": facts} if facts else {})},
        metrics={"train_rows": float(len(frame)), **metrics},
        seed=trainer.seed,
    )


def fit(
    trainer: Trainer,
    problem: Problem,
    features: pd.DataFrame,
    label: pd.Series,
    checkpoints: Callable[[], Checkpoints],
    **further: Any,
) -> Any:
    """Call a trainer, and return what it returns.

    A function that takes ``checkpoints`` is given those of this work: ``latest()`` says where a killed try
    ended, ``save(epoch, write)`` keeps how far this one is. They are gone once the job has succeeded; with ``force``
    the first try begins anew. What it says of itself in its model's ``facts`` (small JSON values) and ``metrics``
    goes into the record.

    :param further: what else a function is given if it has a parameter of that name.
    :raises MissingExtraError: if the libraries of the trainer's flavor are not installed.
    :raises ConfigurationError: if nobody can learn from such inputs, or the flavor's library can't work with them or
        with the settings.
    :raises SourceDataError: if the labels are none that such a problem's model can be trained on.
    """
    models.check_installed(trainer.flavor)
    function = load(trainer.code)
    log.info("training on %d rows, %d inputs, settings %s", *features.shape, trainer.settings)
    check_learnable(features, PREDICTION)
    label = problem.learnable(label, "the rows to learn from")
    features = _prepared(features, trainer.flavor)
    if "validation" in further:
        further["validation"] = (models.prepared(further["validation"][0], trainer.flavor), further["validation"][1])
    takes = inspect.signature(function).parameters
    given = {name: value for name, value in further.items() if name in takes}
    if "checkpoints" in takes:
        given["checkpoints"] = checkpoints()
    try:
        return function(features, label, dict(trainer.settings), trainer.seed, **given)
    except Exception as error:
        if models.is_mistake(error, trainer.flavor):
            raise ConfigurationError(
                f"{trainer.code} failed in {trainer.flavor}: {error}; settings were {trainer.settings}"
            ) from error
        raise


def _prepared(features: pd.DataFrame, flavor: str) -> pd.DataFrame:
    """Return the inputs under names that the flavor's library takes, and log those that it does not."""
    prepared = models.prepared(features, flavor)
    renamed = {old: new for old, new in zip(features.columns, prepared.columns, strict=True) if old != new}
    if renamed:
        log.info("the trainer is given some inputs under other names, which its library takes: %s", renamed)
    return prepared.copy(deep=False)  # what a trainer does to the frame's columns is not done to the model's inputs


def tell_mlflow(
    context: Context,
    training_set: Dataset,
    params: dict[str, object],
    metrics: dict[str, float],
    facts: dict[str, object],
) -> str:
    """Log the training to MLflow and return its run id; a retry finds the same run again."""
    run = context.spec.run
    tags = {**facts, "dag_id": run.dag_id, "run_id": run.run_id, "task_id": run.task_id}
    return MlflowBackend(context.spec.services.mlflow, f"{context.store.uri}/mlflow").log_training(
        product=context.product,
        address=context.address,
        params=params,
        metrics=metrics,
        dataset=training_set,
        tags={name: str(value) for name, value in tags.items()},
        model_folder=context.folder,
        flavor=context.settings.trainer.flavor,
    )
