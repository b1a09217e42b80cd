"""Opens a search: splits the training rows by time, and makes a study with a slot for each trial."""

from __future__ import annotations

from airflow_mlops_provider.backends.extras import available
from airflow_mlops_provider.jobs.evaluation.evaluate import naive
from airflow_mlops_provider.jobs.experimentation.holdout import TIME, measure, split
from airflow_mlops_provider.jobs.experimentation.study import (
    TRAIN,
    VALIDATE,
    OpenedSearch,
    code_of,
    criteria_of,
    mlflow_of,
    search_of,
    study_of,
)
from airflow_mlops_provider.lifecycle.search.declaration import incumbent
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
    current, name, cut = incumbent(algorithms, product.trainer), study_name(context), str(validate[TIME].iloc[0])
    opened = OpenedSearch(
        study=name,
        rows={TRAIN: len(train), VALIDATE: len(validate)},
        cut=cut,
        algorithms=tuple(algorithm.name for algorithm in algorithms),
        left_out=left_out,
        baseline=measure(product.metric, validate[label.column], naive(product, train, validate)),
        current=0 if current else None,
        code=code_of(product),
        run_id=log_to_mlflow(context, name, cut),
    )
    slots = criteria_of(context).trials
    study_of(context, name).open(slots, opened.to_json(), current)
    context.log.info("study %s: %d slots; validation begins %s", name, slots, cut)
    facts = opened.model_dump(mode="json", exclude={"code"})
    return JobResult(facts=facts, metrics={"baseline": opened.baseline}, seed=search.seed)


def study_name(context: JobContext) -> str:
    """Return the study's name: the same for the same product, rows, algorithms, code and packages."""
    without_criteria = context.spec.model_copy(update={"params": {}})
    return f"{context.product.name}-{address(without_criteria, context.product)[:12]}"


def log_to_mlflow(context: JobContext, study: str, cut: str) -> str:
    """Make the study's run in MLflow and return its id."""
    search, run = search_of(context.product), context.spec.run
    space = {
        algorithm.name: {name: span.to_json() for name, span in algorithm.space.items()}
        for algorithm in search.algorithms
    }
    params = {"validation": search.validation, "seed": search.seed, "cut": cut, "space": space}
    tags = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": run.task_id, "mlops.metric": context.product.metric}
    return mlflow_of(context, study).open(params, tags, context.input("training_set"))
