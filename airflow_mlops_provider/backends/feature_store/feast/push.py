"""Rows pushed into a Feast repository: to the online store, the offline store, or both. Again, they are not doubled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pyarrow as pa

from airflow_mlops_provider.backends.feature_store.feast.columns import arrow_type, cast, declared, in_utc
from airflow_mlops_provider.backends.feature_store.feast.repository import FeastRepository
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, UnknownNameError

To = Literal["online", "offline", "online_and_offline"]


def push(repository: FeastRepository, source: str, rows: pa.Table, to: To) -> dict[str, Any]:
    """Push rows to every view that takes from a push source; return the views and how many rows went where.

    The offline store comes first: rows that are there already, with the same values, are not written again, so that a
    push that was broken off can be repeated.

    :raises UnknownNameError: for a source that is not there.
    :raises SourceDataError: for rows that lack a column or a value that Feast needs.
    """
    with repository.at_work(f"push to {source}") as store:
        views = _views(store, source)
        for view in views:
            rows = _checked(view, rows, online=to != "offline")
        counts: dict[str, Any] = {"views": [view.name for view in views]}
        if to != "online":  # all of them have one offline source
            new = _new(repository, views[0], rows)
            counts["offline"] = len(new)
            if len(new):
                _write_offline(store, views[0].name, new)
        if to != "offline":
            counts["online"] = len(rows)
            for view in views if len(rows) else ():
                store.write_to_online_store(view.name, rows.to_pandas())
    return counts


def _write_offline(store: Any, view: str, rows: pa.Table) -> None:
    try:
        store.write_to_offline_store(view, rows.to_pandas())
    except ValueError as error:  # before anything is written: it names columns too many or too few
        raise SourceDataError(f"the rows do not fit the source of view {view!r}: {error}") from None


def _views(store: Any, source: str) -> list[Any]:
    from feast import PushSource

    known = [known.name for known in store.list_data_sources() if isinstance(known, PushSource)]
    if source not in known:
        raise UnknownNameError("push source", source, known)
    views = [view for view in store.list_all_feature_views() if _stream(view) == source]
    if not views:
        raise ConfigurationError(f"no feature view takes from push source {source!r}")
    return sorted(views, key=lambda view: view.name)


def _stream(view: Any) -> str | None:
    stream = getattr(view, "stream_source", None) or getattr(view, "source", None)
    return getattr(stream, "name", None)


def _checked(view: Any, rows: pa.Table, *, online: bool) -> pa.Table:
    """Return rows with keys, times and features of the types that a view declares."""
    rows, features = _typed(view, rows), [field.name for field in view.features]
    always = [*(column.name for column in view.entity_columns), view.batch_source.timestamp_field]
    gaps = {name: rows.column(name).null_count for name in always if rows.column(name).null_count}
    if gaps:
        raise SourceDataError(f"rows without a key or a moment can't be pushed: {gaps} of {len(rows)}")
    given = [rows.column(name) for name in features if name in rows.column_names]
    if online and len(rows) and given and all(column.null_count == len(rows) for column in given):
        raise SourceDataError(f"all features of view {view.name!r} are empty, and Feast brings nothing of that online")
    return rows


def _typed(view: Any, rows: pa.Table) -> pa.Table:
    source, keys = view.batch_source, [column.name for column in view.entity_columns]
    times = [*filter(None, (source.timestamp_field, source.created_timestamp_column))]
    # Where columns of the source have other names than features, Feast says itself what it misses.
    needed = [*keys, *times, *(field.name for field in view.features if not source.field_mapping)]
    missing = sorted({*needed} - {*rows.column_names})
    if missing:
        raise SourceDataError(f"the rows lack {', '.join(missing)}; view {view.name!r} needs {', '.join(needed)}")
    kinds = {field.name: arrow_type(field.dtype) for field in (*view.entity_columns, *view.features)}
    columns: dict[str, Any] = {name: rows.column(name) for name in rows.column_names}
    columns |= {name: cast(rows, name, kind) for name, kind in kinds.items() if name in columns}
    return pa.table({**columns, **{name: in_utc(rows, name) for name in times}})


def _new(repository: FeastRepository, view: Any, rows: pa.Table) -> pa.Table:
    """Return the rows that the offline source has not yet."""
    source = view.batch_source
    if not len(rows):
        return rows
    moments = rows.column(source.timestamp_field).to_pandas()
    features = [field.name for field in view.features if field.name in rows.column_names]
    there = repository.source_rows(view, moments.min(), moments.max(), features)
    kinds = {field.name: field.type for field in there.schema if field.name in rows.column_names}
    known = {*_values(there.select([*kinds]))}
    given = _values(pa.table({name: declared(rows.column(name), kind) for name, kind in kinds.items()}))
    return rows.filter(pa.array([value not in known for value in given], pa.bool_()))


def _values(rows: pa.Table) -> Iterable[str]:
    """Yield each row as text: a value may be a list, or a dict in any order of its keys."""
    for row in rows.to_pylist():
        yield repr([(name, _sorted(row[name])) for name in sorted(row)])


def _sorted(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, Mapping) else value
