"""Computes one interval's features and examples from clean tables, and probes them for leakage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.models.inputs import check_names
from airflow_mlops_provider.backends.tables.column_types import typed_table
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.jobs.features.leakage import Tables, probe
from airflow_mlops_provider.jobs.packages import TABLES
from airflow_mlops_provider.jobs.tables import EXAMPLES
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.sections import Shape, View
from airflow_mlops_provider.lifecycle.source import EVENT_TIME, Column, DataType, Source
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Code
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job

if TYPE_CHECKING:
    import pandas as pd


class Inputs(JobInputs):
    clean: tuple[Dataset, ...]


class Settings(JobSettings):
    sources: Annotated[tuple[Source, ...], ProductField("data.sources")]
    shape: Shape
    compute: Annotated[Code, ProductField("features.compute")]
    examples: Annotated[Code, ProductField("label.examples")]
    known_later: Annotated[dict[str, dict[Column, tuple[Column, ...]]], ProductField("data.known_later")]


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.FEATURES, makes="features", packages=TABLES, publishes="features")
def compute(context: Context) -> JobResult:
    """Write one table per view (keys, features, ``event_time``), and ``examples``, each column in its declared type.

    :raises LeakageError: if a feature used what was not known at its ``event_time``.
    :raises SourceDataError: for a value that is not of its declared type; it names column, row and value.
    """
    settings, tables = context.settings, gather(context)

    def features(tables: Tables, _: Interval) -> dict[str, pd.DataFrame]:
        return {name: _comparable(table) for name, table in typed(context, tables).items()}

    made = typed(context, tables)
    comparable = {name: _comparable(table) for name, table in made.items()}
    probe(features, tables, context.interval, settings.known_later, cutoffs=[_middle(context)], made=comparable)
    rows, outside = {}, {}
    for view, table in zip(settings.shape.views, made.values(), strict=True):
        inside = shaped(table, view, context)
        _write(context, inside, view.name)
        rows[view.name], outside[view.name] = len(inside), len(table) - len(inside)
    examples = labelled_examples(context, tables)
    _write(context, examples, EXAMPLES)
    context.log.info("computed %s rows of features and %d examples", rows, len(examples))
    if any(outside.values()):
        context.log.info("left out feature rows of other intervals: %s", outside)
    return JobResult(facts={"rows": {**rows, EXAMPLES: len(examples)}})


def gather(context: Context) -> dict[str, pd.DataFrame]:
    """Return the clean tables of this interval and the earlier ones given, each in one frame, oldest first.

    A table without rows of its own time, such as a fleet list, comes whole with every interval: the newest stands.
    """
    import pandas as pd

    static = {source.name for source in context.settings.sources if source.time is None}
    parts: dict[str, list[pd.DataFrame]] = {}
    for dataset in context.inputs.clean:
        for file in sorted(context.open(dataset).glob("*.parquet")):
            parts.setdefault(file.stem, []).append(pd.read_parquet(file))
    return {
        name: frames[-1] if name in static else pd.concat(frames, ignore_index=True) for name, frames in parts.items()
    }


def typed(context: Context, tables: Tables) -> dict[str, pa.Table]:
    """Return what the product's function computes, view by view, in the declared types.

    :raises ConfigurationError: if it returns anything but a frame a view, with the declared columns.
    :raises UnknownNameError: for a view or feature that nobody declared, or a declared one that is not there.
    :raises SourceDataError: for a value that does not fit.
    """
    settings = context.settings
    computed = context.call(settings.compute)(tables, context.interval)
    _all_declared(settings, computed)
    return {view.name: _typed(context, computed[view.name], view) for view in settings.shape.views}


def _typed(context: Context, frame: pd.DataFrame, view: View) -> pa.Table:
    what = f"view {view.name!r}"
    types: dict[str, DataType] = {key: context.settings.shape.request[key] for key in view.keys}
    types |= {EVENT_TIME: "timestamp", **view.features}
    by = [*view.keys, EVENT_TIME]
    return typed_table(_select(frame, list(types), what), types, what, by, needed=by, exact=view.features)


def shaped(table: pa.Table, view: View, context: Context) -> pa.Table:
    """Return a view's rows in this interval, in one order, one per entity and moment.

    :raises ConfigurationError: if there are two of one.
    """
    frame = table.select([EVENT_TIME, *view.keys]).to_pandas()
    frame = frame[(frame[EVENT_TIME] >= context.interval.start) & (frame[EVENT_TIME] < context.interval.end)]
    twice = frame.duplicated()
    if twice.any():
        example = frame[twice].iloc[0].to_dict()
        raise ConfigurationError(f"view {view.name!r} has {int(twice.sum())} entity moments twice, such as {example}")
    return table.take(frame.sort_values([EVENT_TIME, *view.keys]).index.to_numpy())


def labelled_examples(context: Context, tables: Tables) -> pa.Table:
    """Return the rows to predict: request columns, ``event_time``, the label, and when it became known.

    :raises ConfigurationError, SourceDataError: as :func:`typed`.
    """
    settings, label = context.settings, context.settings.shape.label
    problem = problems.find(settings.shape.problem)
    frame = _frame(context.call(settings.examples)(tables, context.interval), settings.examples)
    types: dict[str, DataType] = {**settings.shape.request, EVENT_TIME: "timestamp"}
    types |= {label.column: problem.label_type, label.known_at: "timestamp"}
    frame = _select(frame, list(types), EXAMPLES).reset_index(drop=True)
    frame[label.column] = problem.labels(frame[label.column])
    # A whole number or a truth value is given with each request, so that here it may not be missing either.
    needed = [EVENT_TIME, *(name for name, kind in settings.shape.request.items() if kind in {"int64", "bool"})]
    return typed_table(frame, types, EXAMPLES, [*settings.shape.entity_columns, EVENT_TIME], needed)


def _comparable(table: pa.Table) -> pd.DataFrame:
    """Return a view's rows for the probe, which compares numbers: truth values are some, too."""
    frame = table.to_pandas()
    for name in [field.name for field in table.schema if pa.types.is_boolean(field.type)]:
        frame[name] = frame[name].astype("float64")
    return frame


def _write(context: Context, table: pa.Table, name: str) -> None:
    pq.write_table(table, context.folder / f"{name}.parquet")


def _select(frame: pd.DataFrame, columns: list[str], what: str) -> pd.DataFrame:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise UnknownNameError(f"column of {what}", ", ".join(missing), frame.columns)
    return frame[columns]


def _frame(returned: Any, code: str) -> pd.DataFrame:
    import pandas as pd

    if not isinstance(returned, pd.DataFrame):
        raise ConfigurationError(f"{code} returned {type(returned).__name__}; it must return a DataFrame")
    check_names(returned, code)
    return returned


def _all_declared(settings: Settings, computed: Any) -> None:
    if not isinstance(computed, Mapping):
        kind = type(computed).__name__
        raise ConfigurationError(f"{settings.compute} returned {kind}; it must return a dict of a DataFrame a view")
    declared = {view.name: {*view.keys, EVENT_TIME, *view.features} for view in settings.shape.views}
    for name, frame in computed.items():
        if name not in declared:
            raise UnknownNameError(f"view from {settings.compute}", str(name), declared)
        strays = sorted(set(_frame(frame, f"{settings.compute}, view {name!r},").columns) - declared[name])
        if strays:
            raise UnknownNameError(
                f"feature from {settings.compute} in view {name!r}", ", ".join(strays), declared[name]
            )
    missing = sorted(set(declared) - set(computed))
    if missing:
        raise ConfigurationError(
            f"{settings.compute} returned no view {', '.join(missing)}; every declared one is needed"
        )


def _middle(context: Context) -> datetime:
    return context.interval.start + (context.interval.end - context.interval.start) / 2
