"""The tables that jobs hand on to each other, by the names of their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.runtime.context import TABLE
from airflow_mlops_provider.runtime.functions import Library, table_kinds

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: The rows of a training set that models learn from, and the later ones that they are judged on; and those of a search.
TRAIN, EVALUATE, VALIDATE = "train", "evaluate", "validate"
#: Rows to predict, with their label and when that became known.
EXAMPLES = "examples"
#: Among the facts of features: the earliest moment of an example that is from before their interval.
SINCE = "since"
#: A sample of what a model learned from, with its predictions.
REFERENCE = "reference"
#: What was predicted in batch, and what the model was given for it.
PREDICTIONS, INPUTS = "predictions", "inputs"
#: What was said first of each row, by which version: rows may be predicted again once their data was corrected.
SAID = "said"
#: Beside raw tables, if any row was left out: how many of which source, and why.
LEFT_OUT = "left_out.json"


def table_file(folder: Path, name: str | None = None) -> Path:
    """Return the file of a dataset's table: the one of that name, else its only one, or the one called ``table``.

    :raises UnknownNameError: if there is none of that name; lists those there are.
    :raises ConfigurationError: if it is not said which of several is meant.
    """
    files = {file.stem: file for file in sorted(folder.glob("*.parquet"))}
    if name is None and len(files) > 1 and TABLE not in files:
        raise ConfigurationError(f"the dataset has {len(files)} tables: {', '.join(files)}; give table=, one of them")
    wanted = name or (TABLE if TABLE in files or not files else next(iter(files)))
    if wanted not in files:
        raise UnknownNameError("table", wanted, files)
    return files[wanted]


def read_plain(file: Path) -> pa.Table:
    """Return a table; decimals, which databases like and few libraries know, are plain numbers in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    for place, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type):
            table = table.set_column(place, column.name, table.column(place).cast(pa.float64()))
    return table


def library_of(function: Callable[..., Any]) -> Library:
    """Return of which library a function takes its tables: as its first parameter is annotated, else pandas."""
    kinds, first = table_kinds(function), next(iter(signature(function).parameters), "")
    return kinds[first].library if first in kinds else "pandas"


def table_in(file: Path, library: Library) -> Any:
    """Return a file's table as one of some library."""
    import pandas as pd
    import pyarrow.parquet as pq

    if library == "pandas":
        return pd.read_parquet(file)
    table = pq.read_table(file)
    return import_module("polars").from_arrow(table) if library == "polars" else table


def called(function: Callable[..., Any], tables: Mapping[str, pd.DataFrame], *more: Any) -> Any:
    """Call a product's function with tables of the library that it takes; what it returns comes back as frames."""
    import pyarrow as pa

    library = library_of(function)
    if library == "pandas":
        return function(tables, *more)
    arrow = {name: pa.Table.from_pandas(frame, preserve_index=False) for name, frame in tables.items()}
    polars = import_module("polars") if library == "polars" else None
    returned = function({name: polars.from_arrow(table) if polars else table for name, table in arrow.items()}, *more)
    if isinstance(returned, Mapping):
        return {name: as_frame(table) for name, table in returned.items()}
    return as_frame(returned)


def as_frame(table: Any) -> Any:
    """Return a table as pandas', its types such that a missing value makes none another; what is none, as it is."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(table, pd.DataFrame) or not hasattr(table, "__arrow_c_stream__"):
        return table
    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    texts = dict.fromkeys((pa.string(), pa.large_string(), pa.string_view()), pd.StringDtype())
    return pa.table(table).to_pandas(types_mapper={**kinds, **texts}.get)
