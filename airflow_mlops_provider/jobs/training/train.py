"""Trains a model with the product's plain function, keeps it in a format that needs no unpickling, tells MLflow."""

from __future__ import annotations

import time
from typing import Annotated

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.jobs.tables import REFERENCE, TRAIN
from airflow_mlops_provider.jobs.training.fit import fit
from airflow_mlops_provider.lifecycle.frozen import finite, plain
from airflow_mlops_provider.lifecycle.references import Dataset, Model
from airflow_mlops_provider.lifecycle.shape import Scoring, Target
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.runtime.arguments import JobInputs, JobSettings, ProductField, TrainerParams
from airflow_mlops_provider.runtime.context import JobContext, JobResult, kept
from airflow_mlops_provider.runtime.definition import TABLES, job
from airflow_mlops_provider.scoring.inputs import for_trainer, model_inputs, truths

REFERENCE_ROWS = 10_000


class Inputs(JobInputs):
    training_set: Dataset


class Settings(JobSettings):
    scoring: Scoring | Target
    trainer: Annotated[Trainer, ProductField("training.trainer")]


Context = JobContext[Inputs, Settings, TrainerParams]


@job(stage=Stage.TRAINING, makes="model", result=Model, packages=("numpy", *TABLES), uses=("mlflow",))
def train(context: Context) -> JobResult:
    """Write the model and ``reference``: a sample of its training inputs and what it predicts for them."""
    training_set, trainer = context.inputs.training_set, context.settings.trainer
    frame = context.read(training_set, TRAIN)
    scoring, problem = context.settings.scoring, problems.find(context.settings.scoring.problem)
    inputs, label = model_inputs(scoring, frame), truths(scoring, frame)
    began = time.monotonic()
    trained = fit(trainer, problem, inputs, label, context.checkpoints, **for_trainer(scoring, problem, frame))
    seconds = time.monotonic() - began
    model = models.save(trained, context.folder, trainer.flavor, inputs)
    sample = inputs.sample(min(REFERENCE_ROWS, len(inputs)), random_state=trainer.seed).sort_index()
    predicted = problem.columns(problem.checked(model.predict(sample)))
    context.write(sample.assign(**predicted), REFERENCE)
    context.log.info("trained in %.1f s", seconds)
    metrics = {"train_seconds": seconds, **kept(finite, getattr(trained, "metrics", {}))}
    facts = kept(plain, dict(getattr(trained, "facts", {})), "facts")
    run_id = log_to_mlflow(context, metrics, facts)
    return JobResult(
        facts={
            "run_id": run_id,
            "flavor": trainer.flavor,
            "training_set": training_set.to_json(),
            **({"training": facts} if facts else {}),
        },
        metrics={"train_rows": float(len(frame)), **metrics},
        seed=trainer.seed,
    )


def log_to_mlflow(context: Context, metrics: dict[str, float], facts: dict[str, object]) -> str:
    """Log the training to MLflow and return its run id; a retry finds the same run again."""
    trainer = context.settings.trainer
    tags = {**facts, **context.spec.run.model_dump(include={"dag_id", "run_id", "task_id"})}
    return MlflowBackend(context.spec.services.mlflow, f"{context.store.uri}/mlflow").log_training(
        product=context.product,
        address=context.address,
        params={**trainer.settings, "seed": trainer.seed},
        metrics=metrics,
        dataset=context.inputs.training_set,
        tags={name: str(value) for name, value in tags.items()},
        model_folder=context.folder,
        flavor=trainer.flavor,
    )
