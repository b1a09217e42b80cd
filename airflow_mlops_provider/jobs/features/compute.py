"""Computes one interval's features and examples from clean tables, and probes them for leakage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.models.inputs import check_names
from airflow_mlops_provider.backends.tables.column_types import typed_table
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.jobs.features.leakage import Tables, probe
from airflow_mlops_provider.jobs.tables import EXAMPLES, SINCE, called
from airflow_mlops_provider.lifecycle.frozen import only_known
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.shape import Shape, View
from airflow_mlops_provider.lifecycle.source import EVENT_TIME, Column, DataType, Source
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import CodeOrFunction, Name
from airflow_mlops_provider.problems.base import Problem
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job
from airflow_mlops_provider.storage.stale import OF


class Inputs(JobInputs):
    clean: tuple[Dataset, ...]


class Settings(JobSettings):
    sources: Annotated[tuple[Source, ...], ProductField("data.sources")] = ()
    shape: Shape
    compute: Annotated[CodeOrFunction, ProductField("features.compute")]
    examples: Annotated[CodeOrFunction | None, ProductField("label.examples")] = None
    source: Annotated[Name | None, ProductField("label.source")] = None
    known_after: Annotated[timedelta, ProductField("label.known_after")] = timedelta(0)
    known_later: Annotated[dict[str, dict[Column, tuple[Column, ...]]], ProductField("data.known_later")] = {}


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.FEATURES, makes="features", packages=TABLES, publishes="features", uses=())
def compute(context: Context) -> JobResult:
    """Write one table per view (keys, features, ``event_time``), and ``examples``, each column in its declared type.

    :raises LeakageError: if a feature used what was not known at its ``event_time``.
    :raises SourceDataError: for a value that is not of its declared type; it names column, row and value.
    """
    settings, interval, tables = context.settings, context.interval, gather(context)
    made = typed(context, tables)
    middle = interval.start + (interval.end - interval.start) / 2
    probe(lambda hidden: _comparable(typed(context, hidden)), tables, settings.known_later, middle, _comparable(made))
    rows, outside = {}, {}
    for view, table in zip(settings.shape.views, made.values(), strict=True):
        inside = shaped(table, view, context)
        pq.write_table(inside, context.folder / f"{view.name}.parquet")
        rows[view.name], outside[view.name] = len(inside), len(table) - len(inside)
    examples = labelled_examples(context, tables)
    pq.write_table(examples, context.folder / f"{EXAMPLES}.parquet")
    context.log.info("computed %s rows of features and %d examples", rows, len(examples))
    if any(outside.values()):
        context.log.info("left out feature rows of other intervals: %s", outside)
    facts: dict[str, Any] = {"rows": {**rows, EXAMPLES: len(examples)}, OF: stands_on(context)}
    earliest = pc.min(examples.column(EVENT_TIME)).as_py()
    if earliest and earliest < interval.start:  # some of these may have been predicted with an earlier interval
        facts[SINCE] = earliest.isoformat()
    return JobResult(facts=facts)


def stands_on(context: Context) -> dict[str, str]:
    """Return of which clean tables features are computed, by interval: themselves, or what others made of them."""
    by_interval = {
        table.interval.key: context.records.made_by("clean", table) for table in context.inputs.clean if table.interval
    }
    return {key: content for key, content in by_interval.items() if content}


def gather(context: Context) -> dict[str, pd.DataFrame]:
    """Return the clean tables of this interval and the earlier ones given, each in one frame, oldest first.

    A table without rows of its own time, such as a fleet list, comes whole with every interval: the newest stands.
    """
    static = {source.name for source in context.settings.sources if source.time is None}
    parts: dict[str, list[pd.DataFrame]] = {}
    for dataset in context.inputs.clean:
        for name, file in context.tables(dataset).items():
            parts.setdefault(name, []).append(pd.read_parquet(file))
    return {
        name: frames[-1] if name in static else pd.concat(frames, ignore_index=True) for name, frames in parts.items()
    }


def typed(context: Context, tables: Tables) -> dict[str, pa.Table]:
    """Return what the product's function computes, view by view, in the declared types.

    :raises ConfigurationError: if it returns anything but a frame a view, with the declared columns.
    :raises UnknownNameError: for a view or feature that nobody declared, or a declared one that is not there.
    :raises SourceDataError: for a value that does not fit.
    """
    code, declared = context.settings.compute, {view.name: view for view in context.settings.shape.views}
    computed = called(context.call(code), tables, context.interval)
    if not isinstance(computed, Mapping):
        raise ConfigurationError(
            f"{code} returned {type(computed).__name__}; it must return a dict of a DataFrame a view"
        )
    if strays := sorted(map(str, computed.keys() - declared.keys())):
        raise UnknownNameError(f"view from {code}", ", ".join(strays), declared)
    if missing := sorted(declared.keys() - computed.keys()):
        raise ConfigurationError(f"{code} returned no view {', '.join(missing)}; every declared one is needed")
    return {name: _typed(context, computed[name], view) for name, view in declared.items()}


def _typed(context: Context, returned: Any, view: View) -> pa.Table:
    code, what, by = context.settings.compute, f"view {view.name!r}", [*view.keys, EVENT_TIME]
    types: dict[str, DataType] = {key: context.settings.shape.request[key] for key in view.keys}
    types |= {EVENT_TIME: "timestamp", **view.features}
    frame = _frame(returned, f"{code}, {what},", types, what)
    if strays := sorted(set(frame.columns) - types.keys()):
        raise UnknownNameError(f"feature from {code} in {what}", ", ".join(strays), types)
    return typed_table(frame, types, what, by, needed=by, exact=view.features)


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

    Where the truth arrives by itself, these two are not there.

    :raises ConfigurationError, SourceDataError: as :func:`typed`.
    """
    settings, label = context.settings, context.settings.shape.label
    problem = problems.find(settings.shape.problem)
    types: dict[str, DataType] = {**settings.shape.request, EVENT_TIME: "timestamp"}
    types |= {label.weight: "float64"} if label.weight and label.weight not in types else {}
    types |= {} if label.truth else {label.column: problem.label_type, label.known_at: "timestamp"}
    if settings.examples is None:
        returned, code = rows_of_source(settings, tables, context.interval), f"table {settings.source!r}"
    else:
        returned, code = called(context.call(settings.examples), tables, context.interval), str(settings.examples)
    frame = _frame(returned, code, types, EXAMPLES).reset_index(drop=True)
    if not label.truth:
        frame[label.column] = problem.labels(frame[label.column])
    # A whole number or a truth value is given with each request, so that here it may not be missing either.
    needed = [EVENT_TIME, *(name for name, kind in settings.shape.request.items() if kind in {"int64", "bool"})]
    table = typed_table(frame, types, EXAMPLES, [*settings.shape.entity_columns, EVENT_TIME], needed)
    return table if label.truth else known_in_time(table, problem, label.known_at)


def known_in_time(table: pa.Table, problem: Problem, known_at: str) -> pa.Table:
    """Return examples of which no label is known before it can be: what is forecast lies ahead of its row's moment."""
    rows = table.to_pandas()
    known, place = problem.known_from(rows, known_at), table.schema.get_field_index(known_at)
    if known.equals(rows[known_at]):
        return table
    return table.set_column(place, table.schema.field(place), pa.array(known, table.schema.field(place).type))


def rows_of_source(settings: Settings, tables: Tables, interval: Interval) -> pd.DataFrame:
    """Return the rows of a product's source in an interval, with their time, and when their label becomes known.

    Rows of a source that has no time are of the interval's start.

    :raises UnknownNameError: if no clean table has the source's name.
    """
    only_known("clean table, named by label.source,", [str(settings.source)], tables)
    rows, known_at = tables[str(settings.source)], settings.shape.label.known_at
    time = next((source.time for source in settings.sources if source.name == settings.source), None)
    if time is None:
        rows = rows.assign(**{EVENT_TIME: pd.Timestamp(interval.start)})
    else:
        rows = rows[(rows[time] >= interval.start) & (rows[time] < interval.end)]
        rows = rows.assign(**{EVENT_TIME: rows[time]})
    if settings.shape.label.truth or known_at in rows.columns:
        return rows
    return rows.assign(**{known_at: rows[EVENT_TIME] + settings.known_after})


def _comparable(views: Mapping[str, pa.Table]) -> Tables:
    """Return the views' rows for the probe, which compares numbers: truth values are some, too."""
    frames = {view: table.to_pandas() for view, table in views.items()}
    for view, frame in frames.items():
        truths = [field.name for field in views[view].schema if pa.types.is_boolean(field.type)]
        frames[view] = frame.astype(dict.fromkeys(truths, "float64"))
    return frames


def _frame(returned: Any, code: str, columns: Iterable[str], what: str) -> pd.DataFrame:
    """Return what a user's function returned, if it is a frame that has some columns."""
    if not isinstance(returned, pd.DataFrame):
        raise ConfigurationError(f"{code} returned {type(returned).__name__}; it must return a DataFrame")
    check_names(returned, code)
    if missing := [column for column in columns if column not in returned.columns]:
        raise UnknownNameError(f"column of {what}", ", ".join(missing), returned.columns)
    return returned
