"""Builds a versioned training set: examples joined with features as they were known, split by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from airflow_mlops_provider import problems
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, SourceDataError
from airflow_mlops_provider.jobs.features.feature_store import check_loaded, feature_store
from airflow_mlops_provider.jobs.tables import EVALUATE, EXAMPLES, TRAIN
from airflow_mlops_provider.jobs.truth import known, until, with_truth
from airflow_mlops_provider.lifecycle.interval import spans
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import FEAST, job
from airflow_mlops_provider.storage.stale import OF

if TYPE_CHECKING:
    import pandas as pd


class Inputs(JobInputs):
    """:param history: features of earlier intervals. :param truth: clean tables in which the labels arrive."""

    features: tuple[Dataset, ...]
    history: tuple[Dataset, ...] = ()
    truth: tuple[Dataset, ...] = ()


class Settings(JobSettings):
    shape: Shape


class Params(JobParams):
    evaluate: int = Field(ge=1)


Context = JobContext[Inputs, Settings, Params]


@job(stage=Stage.FEATURES, makes="training set", packages=FEAST, uses=("feast",))
def training_set(context: Context) -> JobResult:
    """Write ``train`` and ``evaluate``: request columns, ``event_time``, features, label, and when it became known.

    The last ``windows.evaluate`` intervals are kept for evaluation. Examples whose label was not known by the end of
    their part are left out of it: a model may not learn from a truth that lies after the window it is judged on. Where
    labels arrive by themselves, long after their interval, all count that have arrived by now: among those that a part
    knew by its end, the quickly decided ones would be too many. What is forecast lies ahead of its example: to be
    learned from, it has to lie before the part that is judged on.

    An entity's last known value may come from before the first interval: the join also reads the ``history``, of which
    an interval that was never loaded, such as one that was refused, has no part; the facts name it as ``not_loaded``.

    :raises ConfigurationError: if no interval is left to learn from.
    :raises IntegrityError: if some of the features stand on data that was corrected since, and others on the corrected.
    """
    features, history, later = context.inputs.features, context.inputs.history, context.params.evaluate
    if later >= len(features):
        raise ConfigurationError(f"evaluate={later} of {len(features)} interval(s) leaves none to learn from")
    check_of_one_truth(context, (*history, *features))
    store = feature_store(context, context.settings.shape)
    loaded = [dataset for dataset in history if dataset.interval and store.offline.holds(dataset.interval)]
    check_loaded(context, store, (*loaded, *features))
    label, rows = context.settings.shape.label.column, {}
    intervals = {TRAIN: features[:-later], EVALUATE: features[-later:]}
    parts = {name: labelled(context, name, datasets) for name, datasets in intervals.items()}
    parts[TRAIN], shared = apart(context.settings.shape, *parts.values())
    for name, examples in parts.items():
        frame = store.historical(examples)
        context.write(frame, name)
        rows[name] = len(frame)
        context.log.info(
            "%s: %d rows of %d intervals, %s", name, len(frame), len(intervals[name]), summary(frame[label])
        )
    window = [dataset.interval for dataset in features if dataset.interval]
    present = {dataset.interval for dataset in loaded}
    return JobResult(
        facts={
            "rows": rows,
            **({"of_groups_in_both": shared} if shared else {}),
            "train": spans(window[:-later]),
            "evaluate": spans(window[-later:]),
            "not_loaded": spans([span for dataset in history if (span := dataset.interval) and span not in present]),
            "as_of": str(features[-1].interval),
        },
        metrics={f"{name}_rows": float(count) for name, count in rows.items()},
    )


def apart(shape: Shape, train: pd.DataFrame, evaluate: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the rows to learn from, without those of groups that are judged on, and how many these were.

    :raises SourceDataError: if none is left.
    """
    group = problems.find(shape.problem).group
    if group is None:
        return train, 0
    both = train[group].isin(evaluate[group])
    if both.all():
        raise SourceDataError(
            f"every {group!r} to learn from is also judged on: nothing is left; declare no such group"
        )
    return train[~both].reset_index(drop=True), int(both.sum())


def summary(label: pd.Series) -> str:
    """Return what a log says of some labels: their mean, or how many are of which of the most frequent values."""
    if label.dtype.kind in "iufb" and label.notna().any():
        return f"mean label {float(label.mean()):.4f}"
    return f"labels {label.value_counts(dropna=False).head(5).to_dict()}"


def check_of_one_truth(context: Context, features: tuple[Dataset, ...]) -> None:
    """Refuse features of which some were computed of an interval's clean tables, and others of what it was before.

    :raises IntegrityError: naming the intervals, and what to run again.
    """
    of: dict[str, tuple[str, Dataset]] = {}
    for dataset in features:
        made = context.records.made(dataset).manifest
        facts = made.result.facts if made and made.result else {}
        for key, content in facts.get(OF, {}).items():
            known, by = of.setdefault(key, (content, dataset))
            if known != content:
                raise IntegrityError(
                    f"features of {by.interval} and {dataset.interval} stand on different data of {key}, which was "
                    "corrected: run the feature engineering of the older again; airflow mlops stale says which"
                )


def labelled(context: Context, part: str, datasets: tuple[Dataset, ...]) -> pd.DataFrame:
    """Return the examples of some intervals whose label was known by the end of the last one, or has arrived by now.

    Where a problem's models learn from rows without labels, those to learn from are all, and labels that were not known
    are missing.

    :param part: what messages call them.
    :raises SourceDataError: if there are none, or their labels are none that a model can be trained on, or judged by.
    """
    import pandas as pd

    last, shape = datasets[-1].interval, context.settings.shape
    assert last is not None
    problem = problems.find(shape.problem)
    frame = pd.concat([context.read(dataset, EXAMPLES) for dataset in datasets], ignore_index=True)
    label, known_by = shape.label, until(context.inputs.truth, last.end)
    if label.truth:
        frame = with_truth(context, shape, frame, context.inputs.truth, known_by)
    if part == TRAIN and (times := problem.label_times(frame)) is not None:
        frame = frame[times < last.end]
    frame = known(frame, label, known_by, unknown=problem.learns_without_labels and part == TRAIN)
    if frame.empty:
        how = "; let windows.wait leave the newest intervals alone" if label.truth else ""
        raise SourceDataError(f"no example of {last} has its label {label.column!r} yet; {problem.without_labels}{how}")
    frame[label.column] = problem.learnable(frame[label.column], f"the part {part!r}, up to {last}")
    if part == EVALUATE and (why := problem.unfit(frame[label.column])):
        raise SourceDataError(f"the examples of {last} that are to be judged on have {why}; {problem.without_labels}")
    return frame
