"""Real flights for tests: delivered by the replay, read with the types that the product declares."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from airflow_mlops_provider.lifecycle.interval import Interval
from flight_delay import replay
from flight_delay.product import product

_TYPES = {"string": "object", "int64": "int64", "float64": "float64", "timestamp": "object"}


def read_raw(landing: Path, interval: Interval) -> dict[str, pd.DataFrame]:
    """Deliver an interval below the landing folder and return each source's frame; timestamps are in UTC."""
    replay.deliver(landing, interval)
    return {source.name: _read(landing / source.delivery(interval), source.columns) for source in product.data.sources}


def _read(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    types = {column: _TYPES[kind] for column, kind in columns.items()}
    rows = pd.read_csv(path, usecols=list(columns), dtype=types)[list(columns)]
    for column, kind in columns.items():
        if kind == "timestamp":
            rows[column] = pd.to_datetime(rows[column], utc=True)
    return rows
