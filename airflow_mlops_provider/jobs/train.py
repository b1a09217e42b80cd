"""Trains a model with the product's plain function, keeps it in a format that needs no unpickling, tells MLflow."""

from __future__ import annotations

import time

from airflow_mlops_provider.backends import lightgbm as models
from airflow_mlops_provider.backends.mlflow import MlflowBackend
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.references import Dataset, Model
from airflow_mlops_provider.serving.scoring import model_inputs

REFERENCE = "reference"
REFERENCE_ROWS = 10_000
PREDICTION = "prediction"


def run(work: Work) -> Outcome:
    """Write the model and ``reference``: a sample of its training inputs and what it predicts for them."""
    training_set, trainer = work.input("training_set"), work.product.trainer
    frame = work.read(training_set, "train")
    inputs, label = model_inputs(work.product, frame), frame[work.product.label.column]
    settings = {**trainer.settings, **work.spec.params.get("settings", {})}
    work.log.info("training on %d rows, %d inputs, settings %s", len(inputs), inputs.shape[1], settings)
    began = time.monotonic()
    model = work.call(trainer.code)(inputs, label, settings, trainer.seed)
    seconds = time.monotonic() - began
    models.save(model, work.folder)
    sample = inputs.sample(min(REFERENCE_ROWS, len(inputs)), random_state=trainer.seed).sort_index()
    work.write(sample.assign(**{PREDICTION: models.predict(model, sample)}), REFERENCE)
    work.log.info("trained in %.1f s", seconds)
    run_id = tell_mlflow(work, training_set, {**settings, "seed": trainer.seed}, {"train_seconds": seconds})
    return Outcome(
        kind=Model,
        facts={"run_id": run_id, "training_set": training_set.to_json()},
        metrics={"train_rows": float(len(frame)), "train_seconds": seconds},
        seed=trainer.seed,
    )


def tell_mlflow(work: Work, training_set: Dataset, params: dict[str, object], metrics: dict[str, float]) -> str:
    """Log the training to MLflow and return its run id; a retry finds the same run again."""
    run = work.spec.run
    return MlflowBackend(work.spec.services.mlflow, f"{work.store.uri}/mlflow").log_training(
        product=work.product.name,
        address=work.address,
        params=params,
        metrics=metrics,
        dataset=training_set,
        tags={"dag_id": run.dag_id, "run_id": run.run_id, "task_id": run.task_id},
        model_folder=work.folder,
        flavor=work.product.trainer.flavor,
    )
