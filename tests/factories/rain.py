"""The second product in reach of the tests, and its deliveries: four years of Seattle's weather."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from airflow_mlops_provider.backends.model_server.launcher import log_folder
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.serving.prediction_log import Batch, PredictionLog

NAME = "rain_tomorrow"
PRODUCTS = Path(__file__).parents[1] / "second_product"
DAGS = Path(__file__).parents[2] / "dags"


def product() -> MLProduct:
    """Return the product; its folder is put where Python looks."""
    if str(PRODUCTS) not in sys.path:
        sys.path.append(str(PRODUCTS))
    return load_product(NAME)


def year(number: int) -> Interval:
    """Return a year as a data interval."""
    return Interval(start=datetime(number, 1, 1, tzinfo=UTC), end=datetime(number + 1, 1, 1, tzinfo=UTC))


def deliver(landing: Path, interval: Interval) -> None:
    """Write one year's days below the landing folder, whole or not at all."""
    spec = find_spec("vega_datasets")
    assert spec and spec.submodule_search_locations, "the weather data is not installed; run: pip install vega_datasets"
    days = pd.read_csv(Path(spec.submodule_search_locations[0]) / "_data" / "seattle-weather.csv")
    days["date"] = pd.to_datetime(days["date"], utc=True)
    target = landing / product().data.sources[0].delivery(interval)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    days[(days["date"] >= interval.start) & (days["date"] < interval.end)].to_csv(partial, index=False)
    partial.replace(target)


def answer(root: str) -> None:
    """Write into the model servers' log what the first version answered in March 2014."""
    at = datetime(2014, 3, 1, 8, tzinfo=UTC)
    rows = [{"station": "Seattle", "month": 3, "event_time": at}] * 60
    names = product().shape.feature_types
    inputs = [{name: (number * step) % 60 / 60 for step, name in enumerate(names, 1)} for number in range(60)]
    log = PredictionLog(log_folder(root, NAME))
    log.append(Batch(rows, inputs, [number / 60 for number in range(60)], 1, "march", at))
    log.close()
