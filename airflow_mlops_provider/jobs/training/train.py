"""Trains a model with the product's plain function, keeps it in a format that needs no unpickling, tells MLflow."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.inputs import check_learnable
from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.plain import finite, plain
from airflow_mlops_provider.lifecycle.references import Dataset, Model
from airflow_mlops_provider.problems.base import PREDICTION
from airflow_mlops_provider.runtime.checkpoints import Checkpoints
from airflow_mlops_provider.runtime.context import JobContext, JobResult, kept
from airflow_mlops_provider.scoring.inputs import model_inputs
from airflow_mlops_provider.storage.layout import result_key

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "reference"
REFERENCE_ROWS = 10_000


def run(context: JobContext) -> JobResult:
    """Write the model and ``reference``: a sample of its training inputs and what it predicts for them."""
    training_set, trainer = context.input("training_set"), context.product.trainer
    frame = context.read(training_set, "train")
    inputs, label = model_inputs(context.product, frame), frame[context.product.label.column]
    began = time.monotonic()
    trained = fit(context, inputs, label)
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
        kind=Model,
        facts={"run_id": run_id, "training_set": training_set.to_json(), **({"training": facts} if facts else {})},
        metrics={"train_rows": float(len(frame)), **metrics},
        seed=trainer.seed,
    )


def fit(context: JobContext, features: pd.DataFrame, label: pd.Series, **further: Any) -> Any:
    """Call the trainer that a job is to use, and return what it returns.

    A function that takes ``checkpoints`` is given those of this job's address: ``latest()`` says where a killed try
    ended, ``save(epoch, write)`` keeps how far this one is. They are gone once the job has succeeded; with ``force``
    the first try begins anew. What it says of itself in its model's ``facts`` (small JSON values) and ``metrics``
    goes into the record.

    :param further: what else a function is given if it has a parameter of that name.
    :raises MissingExtraError: if the libraries of the trainer's flavor are not installed.
    :raises ConfigurationError: if nobody can learn from such inputs, or the flavor's library can't work with them or
        with the settings.
    :raises SourceDataError: if the labels are none that such a problem's model can be trained on.
    """
    trainer = context.product.trainer
    models.check_installed(trainer.flavor)
    function = context.call(trainer.code)
    context.log.info("training on %d rows, %d inputs, settings %s", *features.shape, trainer.settings)
    check_learnable(features, PREDICTION)
    label = problems.find(context.product.problem).learnable(label, "the rows to learn from")
    features = _prepared(context, features)
    if "validation" in further:
        further["validation"] = (models.prepared(further["validation"][0], trainer.flavor), further["validation"][1])
    takes = inspect.signature(function).parameters
    given = {name: value for name, value in further.items() if name in takes}
    if "checkpoints" in takes:
        given["checkpoints"] = Checkpoints(context.store, result_key(context.spec, context.address))
        if context.spec.force and context.spec.run.try_number <= 1:
            given["checkpoints"].clear()
    try:
        return function(features, label, dict(trainer.settings), trainer.seed, **given)
    except Exception as error:
        if models.is_mistake(error, trainer.flavor):
            raise ConfigurationError(
                f"{trainer.code} failed in {trainer.flavor}: {error}; settings were {trainer.settings}"
            ) from error
        raise


def _prepared(context: JobContext, features: pd.DataFrame) -> pd.DataFrame:
    """Return the inputs under names that the flavor's library takes, and log those that it does not."""
    prepared = models.prepared(features, context.product.trainer.flavor)
    renamed = {old: new for old, new in zip(features.columns, prepared.columns, strict=True) if old != new}
    if renamed:
        context.log.info("the trainer is given some inputs under other names, which its library takes: %s", renamed)
    return prepared.copy(deep=False)  # what a trainer does to the frame's columns is not done to the model's inputs


def tell_mlflow(
    context: JobContext,
    training_set: Dataset,
    params: dict[str, object],
    metrics: dict[str, float],
    facts: dict[str, object],
) -> str:
    """Log the training to MLflow and return its run id; a retry finds the same run again."""
    run = context.spec.run
    tags = {**facts, "dag_id": run.dag_id, "run_id": run.run_id, "task_id": run.task_id}
    return MlflowBackend(context.spec.services.mlflow, f"{context.store.uri}/mlflow").log_training(
        product=context.product.name,
        address=context.address,
        params=params,
        metrics=metrics,
        dataset=training_set,
        tags={name: str(value) for name, value in tags.items()},
        model_folder=context.folder,
        flavor=context.product.trainer.flavor,
    )
