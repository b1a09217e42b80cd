"""What Feast is told about a product: its entities, views and feature service; and the values that come back, typed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.shape import Shape, View
from airflow_mlops_provider.lifecycle.source import EVENT_TIME, DataType

# Feast keeps timestamp features in whole seconds online, so offline ones are kept no finer.
_STORED = {kind: known.arrow for kind, known in COLUMN_TYPES.items()} | {"timestamp": pa.timestamp("s", tz="UTC")}


def fingerprint(shape: Shape, folder: Path, online_store: Mapping[str, Any]) -> str:
    """Return the SHA-256 of everything that the registry is made from."""
    views = [view.to_json() for view in shape.views]
    request = {key: shape.request[key] for key in shape.entity_columns}
    return digest([shape.name, views, request, str(folder), dict(online_store)])


def schema(shape: Shape, view: View) -> pa.Schema:
    """Return the Arrow schema of a view's rows: keys, ``event_time`` in UTC (microseconds), features."""
    keys = [pa.field(key, _STORED[shape.request[key]]) for key in view.keys]
    features = [pa.field(name, _STORED[kind]) for name, kind in view.features.items()]
    return pa.schema([*keys, pa.field(EVENT_TIME, pa.timestamp("us", tz="UTC")), *features])


def definitions(shape: Shape, offline: Path) -> list[Any]:
    """Return Feast's objects for a product: one entity a key column, the views, and one service over all of them."""
    from feast import Entity, FeatureService
    from feast.value_type import ValueType

    types = {kind: ValueType[known.feast] for kind, known in COLUMN_TYPES.items()}
    entities = {
        key: Entity(name=key, join_keys=[key], value_type=types[shape.request[key]]) for key in shape.entity_columns
    }
    views = [_view(shape, view, entities, types, offline) for view in shape.views]
    return [*entities.values(), *views, FeatureService(name=shape.name, features=views)]


def _view(shape: Shape, view: View, entities: Mapping[str, Any], types: Mapping[DataType, Any], offline: Path) -> Any:
    from feast import FeatureView, Field, FileSource
    from feast.data_format import ParquetFormat
    from feast.types import from_value_type

    source = FileSource(
        name=f"{view.name}_files",
        path=str(offline / view.name / "*.parquet"),
        timestamp_field=EVENT_TIME,
        file_format=ParquetFormat(),
    )
    columns = {key: shape.request[key] for key in view.keys} | dict(view.features)
    return FeatureView(
        name=view.name,
        entities=[entities[key] for key in view.keys],
        # No time to live: an entity keeps its last known value, and a replay of the past is never too old.
        ttl=timedelta(0),
        schema=[Field(name=name, dtype=from_value_type(types[kind])) for name, kind in columns.items()],
        source=source,
        description=view.description,
    )


def dtype_of(kind: DataType) -> str:
    """Return the NumPy type of a feature's values, which depends on its declared type alone, nulls or not."""
    return {"string": "object", "timestamp": "datetime64[ns]"}.get(kind, "float64")


def plain(values: Any, kind: DataType) -> np.ndarray:
    """Return a feature's values: text with None, moments in UTC with NaT, numbers and truth with NaN.

    :param values: an Arrow array.
    """
    stored = values.cast(_STORED[kind])
    if kind == "string":
        column = np.empty(len(stored), object)
        column[:] = stored.to_pylist()
        return column
    wanted = COLUMN_TYPES[kind].arrow if kind == "timestamp" else pa.float64()
    return np.asarray(stored.cast(wanted).to_numpy(zero_copy_only=False), dtype_of(kind))


def conform(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return the wanted columns in their types, sorted by key and time, one row a key and moment (the last one wins).

    Rows without a key are left out: nobody could ask for them.

    :raises pyarrow.ArrowInvalid: if a value does not fit its type.
    :raises KeyError: if a column is missing.
    """
    by = [field.name for field in list(wanted)[: wanted.get_field_index(EVENT_TIME) + 1]]
    fitted = pa.table([_cast(field.name, table.column(field.name), field.type) for field in wanted], schema=wanted)
    fitted = fitted.filter(reduce(pc.and_, map(pc.is_valid, fitted.select(by).itercolumns())))
    numbered = fitted.append_column("__row", pa.array(range(len(fitted)), pa.int64()))
    last = numbered.group_by(by).aggregate([("__row", "max")]).column("__row_max")
    return fitted.take(last).sort_by([(name, "ascending") for name in by])


def _cast(name: str, column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column in its type; one without any value may have had any."""
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    try:
        if pa.types.is_timestamp(kind) and pa.types.is_timestamp(column.type):
            return column.cast(pa.timestamp(column.type.unit, "UTC")).cast(kind, safe=False)
        return column.cast(kind)
    except pa.ArrowException as error:
        raise pa.ArrowInvalid(f"column {name!r} is {column.type}, declared {kind}: {error}") from error
