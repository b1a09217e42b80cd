"""A job: a training set straight from features and examples, without a feature store."""

from __future__ import annotations

from airflow_mlops_provider import (
    Dataset,
    JobContext,
    JobInputs,
    JobParams,
    JobResult,
    JobSettings,
    Stage,
    job,
)
from airflow_mlops_provider.lifecycle.shape import Shape


class Inputs(JobInputs):
    """:param features: one interval's, with its examples."""

    features: Dataset


class Settings(JobSettings):
    """:param shape: the product's columns."""

    shape: Shape


class Params(JobParams):
    """:param share: how much of the rows, the earliest, is learned from."""

    share: float = 0.5


@job(stage=Stage.TRAINING, makes="training set", packages=("pandas", "pyarrow"))
def split_by_time(context: JobContext[Inputs, Settings, Params]) -> JobResult:
    """Write ``train`` and ``evaluate``: each example with the features known last at its time."""
    import pandas as pd

    features, time = context.inputs.features, "event_time"
    rows = context.read(features, "examples").sort_values(time, ignore_index=True)
    for view in context.settings.shape.views:
        known = context.read(features, view.name).sort_values(time)
        rows = pd.merge_asof(rows, known[[time, *view.keys, *view.features]], on=time, by=list(view.keys))
    cut = int(len(rows) * context.params.share)
    context.write(rows[:cut], "train")
    context.write(rows[cut:], "evaluate")
    counts = {"train": cut, "evaluate": len(rows) - cut}
    return JobResult(facts={"rows": counts, "train": ["early"], "evaluate": ["late"]})
