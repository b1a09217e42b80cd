"""Opens a search: splits the training rows by time, and makes a study with a slot for each trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.extras import available
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.evaluation.evaluate import naive
from airflow_mlops_provider.jobs.experimentation.searching import code_of, criteria_of, mlflow_of, search_of, study_of
from airflow_mlops_provider.jobs.training.holdout import split_tail
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, incumbent
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.runtime.address import address
from airflow_mlops_provider.runtime.context import JobContext, JobResult

if TYPE_CHECKING:
    import pandas as pd

TRAIN, VALIDATE = "train", "validate"


def run(context: JobContext) -> JobResult:
    """Write ``train`` and ``validate``, rows of the training part alone: the evaluation window is not looked at.

    The same rows, algorithms, code and packages lead to the same study: searched again, with other criteria perhaps,
    its finished trials count.
    """
    product, search = context.product, search_of(context.product)
    train, validate = split(product, context.read(context.input("training_set"), TRAIN), search.validation)
    cut = str(validate[EVENT_TIME].iloc[0])
    context.write(train, TRAIN)
    context.write(validate, VALIDATE)
    offered, left_out = available(search.algorithms)
    for name, why in left_out.items():
        context.log.warning("algorithm %s is left out: %s", name, why)
    current = incumbent(offered, product.trainer)
    facts: dict[str, Any] = {
        "study": study_name(context),
        "rows": {TRAIN: len(train), VALIDATE: len(validate)},
        "cut": cut,
        "algorithms": [one.name for one in offered],
        "left_out": left_out,
        "baseline": metric(context, validate[product.label.column], naive(product, train, validate)),
        "current": 0 if current else None,
    }
    study = study_of(context, facts["study"])
    study.open(criteria_of(context).trials, {**facts, "code": code_of(product)}, current)
    run_id = tell_mlflow(context, facts)
    study.note("run_id", run_id)
    context.log.info("study %s: %d slots; validation begins %s", facts["study"], criteria_of(context).trials, cut)
    return JobResult(facts={**facts, "run_id": run_id}, metrics={"baseline": facts["baseline"]}, seed=search.seed)


def split(product: MLProduct, frame: pd.DataFrame, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the earlier rows and the later ones, which are about a share of all.

    :raises SourceDataError: if either part would lack one of the two labels.
    """
    parts = split_tail(product, frame, share)
    for name, part in zip((TRAIN, VALIDATE), parts, strict=True):
        if part[product.label.column].nunique() < 2:
            raise SourceDataError(
                f"{name} would be {len(part)} rows of one label only; take more intervals to search on"
            )
    return parts


def study_name(context: JobContext) -> str:
    """Return the study's name: the same for the same product, rows, algorithms, code and packages."""
    asked = context.spec.model_copy(update={"params": {}})
    return f"{context.product.name}-{address(asked, context.product)[:12]}"


def metric(context: JobContext, label: Any, scores: Any) -> float:
    """Return the product's metric of some scores."""
    return float(statistics.METRICS[context.product.metric](label, scores))


def tell_mlflow(context: JobContext, facts: dict[str, Any]) -> str:
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


def space(algorithms: tuple[Algorithm, ...]) -> dict[str, Any]:
    """Return the searched settings of each algorithm as plain JSON."""
    return {one.name: {name: span.to_json() for name, span in one.space.items()} for one in algorithms}
