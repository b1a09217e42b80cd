"""The rows to predict with their minutes, and the trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flight_delay import expectations as of_flights
from flight_delay.examples import ASKED_BEFORE, REQUEST, UNKNOWN_TAIL

if TYPE_CHECKING:
    import lightgbm
    import pandas as pd

    from airflow_mlops_provider.lifecycle.interval import Interval


def expectations(dataset: str) -> list[Any]:
    """Return what is expected of each delivery; of the training set, whose label is another, nothing."""
    return [] if dataset == "training" else of_flights.expectations(dataset)


def examples(tables: dict[str, pd.DataFrame], interval: Interval) -> pd.DataFrame:
    """Return each flight that arrived, two hours before its schedule, and how late it was once it has."""
    flights = tables["flights"]
    scheduled = (flights["sched_dep"] >= interval.start) & (flights["sched_dep"] < interval.end)
    flown = flights[scheduled & flights["arr_at"].notna()].sort_values(["sched_dep", "carrier", "flight", "origin"])
    return flown[[*REQUEST, "arr_at"]].assign(
        tailnum=flown["tailnum"].fillna(UNKNOWN_TAIL),
        event_time=flown["sched_dep"] - ASKED_BEFORE,
        minutes=flown["arr_delay"].astype("float64"),
    )


def train(features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int) -> lightgbm.Booster:
    """Return boosted trees that give the median delay."""
    import lightgbm

    params = {"objective": "l1", "learning_rate": 0.1, "num_leaves": settings["num_leaves"]}
    repeatable = {"deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1, "seed": seed}
    return lightgbm.train({**params, **repeatable}, lightgbm.Dataset(features, label=label), settings["rounds"])
