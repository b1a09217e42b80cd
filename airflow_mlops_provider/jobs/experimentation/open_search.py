"""Opens a search: splits the training rows by time, and makes a study with a slot for each trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_mlops_provider.backends.extras import available
from airflow_mlops_provider.jobs.evaluation.evaluate import naive
from airflow_mlops_provider.jobs.experimentation.holdout import TIME, measure, split
from airflow_mlops_provider.jobs.experimentation.study import (
    TRAIN,
    VALIDATE,
    code_of,
    criteria_of,
    mlflow_of,
    search_of,
    study_of,
)
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, incumbent
from airflow_mlops_provider.runtime.address import address
from airflow_mlops_provider.runtime.context import JobContext, JobResult


def run(context: JobContext) -> JobResult:
    """Write ``train`` and ``validate``, rows of the training part alone: the evaluation window is not looked at.

    The same rows, algorithms, code and packages lead to the same study: searched again, with other criteria perhaps,
    its finished trials count.
    """
    product, search, label = context.product, search_of(context.product), context.product.label
    rows = context.read(context.input("training_set"), TRAIN)
    train, validate = split(rows, search.validation, label=label.column, known_at=label.known_at)
    context.write(train, TRAIN)
    context.write(validate, VALIDATE)
    algorithms, left_out = available(search.algorithms)
    for name, why in left_out.items():
        context.log.warning("algorithm %s is left out: %s", name, why)
    current = incumbent(algorithms, product.trainer)
    facts: dict[str, Any] = {
        "study": study_name(context),
        "rows": {TRAIN: len(train), VALIDATE: len(validate)},
        "cut": str(validate[TIME].iloc[0]),
        "algorithms": [algorithm.name for algorithm in algorithms],
        "left_out": left_out,
        "baseline": measure(product.metric, validate[label.column], naive(product, train, validate)),
        "current": 0 if current else None,
    }
    study, slots = study_of(context, facts["study"]), criteria_of(context).trials
    study.open(slots, {**facts, "code": code_of(product)}, current)
    run_id = log_to_mlflow(context, facts)
    study.note("run_id", run_id)
    context.log.info("study %s: %d slots; validation begins %s", study.name, slots, facts["cut"])
    return JobResult(facts={**facts, "run_id": run_id}, metrics={"baseline": facts["baseline"]}, seed=search.seed)


def study_name(context: JobContext) -> str:
    """Return the study's name: the same for the same product, rows, algorithms, code and packages."""
    without_criteria = context.spec.model_copy(update={"params": {}})
    return f"{context.product.name}-{address(without_criteria, context.product)[:12]}"


def log_to_mlflow(context: JobContext, facts: dict[str, Any]) -> str:
    """Make the study's run in MLflow and return its id."""
    search, run = search_of(context.product), context.spec.run
    params = {
        "validation": search.validation,
        "seed": search.seed,
        "cut": facts["cut"],
        "space": space(search.algorithms),
    }
    tags = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": run.task_id, "mlops.metric": context.product.metric}
    return mlflow_of(context, facts["study"]).open(params, tags, context.input("training_set"))


def space(algorithms: Sequence[Algorithm]) -> dict[str, Any]:
    """Return the searched settings of each algorithm as plain JSON."""
    return {
        algorithm.name: {name: span.to_json() for name, span in algorithm.space.items()} for algorithm in algorithms
    }
