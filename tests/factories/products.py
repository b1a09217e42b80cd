"""Products on public data in reach of the tests, one of each kind of problem, and their deliveries."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.runtime.code import load_product
from flight_delay.replay import deliver as deliver_flights

PRODUCTS = Path(__file__).parents[1] / "products"
#: How many intervals a product is taken through: two to learn and judge, one to predict, one to learn again.
BATCHES = 4


def product(name: str) -> MLProduct:
    """Return a product; its folder is put where Python looks."""
    if str(PRODUCTS) not in sys.path:
        sys.path.append(str(PRODUCTS))
    return load_product(name)


def deliver(name: str, landing: Path, interval: Interval) -> None:
    """Write what a product's sources bring in an interval below the landing folder, whole or not at all."""
    if name == "flight_minutes":
        deliver_flights(landing, interval)
        return
    (source,) = product(name).data.sources
    table = TABLES[name]()
    rows = table[(table["at"] >= interval.start) & (table["at"] < interval.end)].drop(columns="at")
    target = landing / source.delivery(interval)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    rows.to_csv(partial, index=False)
    os.utime(partial, (time.time() - 60,) * 2)  # it counts as whole once it has not been changed for some seconds
    partial.replace(target)


@cache
def seattle() -> pd.DataFrame:
    """Return four years of Seattle's days: what was measured, and what the sky was like."""
    spec = find_spec("vega_datasets")
    assert spec and spec.submodule_search_locations, "the weather data is not installed; run: pip install vega_datasets"
    days = pd.read_csv(Path(spec.submodule_search_locations[0]) / "_data" / "seattle-weather.csv")
    days["date"] = pd.to_datetime(days["date"], utc=True)
    return days.assign(at=days["date"])


@cache
def travellers() -> pd.DataFrame:
    """Return 210 travellers between Sydney and Melbourne, each with four ways to go; from statsmodels' modechoice."""
    from statsmodels.datasets import modechoice

    trips = modechoice.load_pandas().data
    names = {1: "air", 2: "train", 3: "bus", 4: "car"}
    columns = {"ttme": "wait", "gc": "cost", "invt": "minutes", "hinc": "income", "psize": "party", "choice": "taken"}
    who = trips["individual"].astype(int)
    # The survey lists who flew first, who drove last: shuffled, each batch has some of all.
    batch = np.random.default_rng(4).permutation(int(who.max())) % BATCHES
    rows = trips.rename(columns=columns)[list(columns.values())]
    return rows.assign(traveller=who.map("T{:03}".format), mode=trips["mode"].map(names), at=_days(batch[who - 1]))


@cache
def slides() -> pd.DataFrame:
    """Return scikit-learn's breast cancer slides as they are in a screening: one in twelve is malignant."""
    from sklearn.datasets import load_breast_cancer

    loaded = load_breast_cancer(as_frame=True)
    rows = loaded.frame.rename(columns=lambda name: name.replace(" ", "_")).assign(malignant=1 - loaded.target)
    benign, malignant = rows[rows["malignant"] == 0], rows[rows["malignant"] == 1].sample(32, random_state=1)
    screened = pd.concat([benign, malignant]).sample(frac=1.0, random_state=2, ignore_index=True)
    wanted = product("odd_cells").data.sources[0].columns
    return screened[list(wanted)].assign(at=_days(np.arange(len(screened)) % BATCHES))


def _days(batch: np.ndarray) -> pd.Series:
    return pd.Series(pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(batch, unit="D"))


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "sky_of_day": seattle,
    "wet_and_windy": lambda: seattle().drop(columns="weather"),
    "travel_mode": travellers,
    "odd_cells": slides,
}
