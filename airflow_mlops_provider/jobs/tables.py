"""The tables that jobs hand on to each other, by the names of their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.runtime.context import TABLE

if TYPE_CHECKING:
    import pyarrow as pa

#: The rows of a training set that models learn from, and the later ones that they are judged on; and those of a search.
TRAIN, EVALUATE, VALIDATE = "train", "evaluate", "validate"
#: Rows to predict, with their label and when that became known.
EXAMPLES = "examples"
#: A sample of what a model learned from, with its predictions.
REFERENCE = "reference"
#: What was predicted in batch, and what the model was given for it.
PREDICTIONS, INPUTS = "predictions", "inputs"
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
