"""A product's functions where it names none: its sources are its tables, and its rows are the model's inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from airflow_mlops_provider.lifecycle.interval import Interval


def clean(raw: dict[str, pd.DataFrame], interval: Interval) -> dict[str, pd.DataFrame]:
    """Return the tables as they were delivered."""
    del interval
    return raw


def expectations(dataset: str) -> list[Any]:
    """Return nothing: that columns and types are those declared is looked at when they are read."""
    del dataset
    return []


def compute(tables: dict[str, pd.DataFrame], interval: Interval) -> dict[str, pd.DataFrame]:
    """Return no view: nothing is known of an entity but what a caller gives."""
    del tables, interval
    return {}


def assemble(rows: pd.DataFrame) -> pd.DataFrame:
    """Return all columns of the rows but times: text as categories, truth values as numbers."""
    inputs = rows.select_dtypes(exclude=["datetimetz", "datetime"])
    text = [name for name, kind in inputs.dtypes.items() if kind.kind == "O" or kind.name.startswith("str")]
    truth_values = [name for name, kind in inputs.dtypes.items() if kind.kind == "b"]
    return inputs.astype(dict.fromkeys(text, "category") | dict.fromkeys(truth_values, "float64"))
