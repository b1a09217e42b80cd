"""Everything the product does: rules, features, examples, expectations, and its trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from rain_tomorrow.product import product

if TYPE_CHECKING:
    import lightgbm

    from airflow_mlops_provider.lifecycle.interval import Interval

Tables = dict[str, pd.DataFrame]
DAY = pd.Timedelta(days=1)


def clean(raw: Tables, interval: Interval) -> Tables:
    """Return one row a day; what was measured is known when the day is over."""
    days = raw["days"].drop_duplicates("date").sort_values("date", ignore_index=True)
    return {"days": days.assign(station="Seattle", over_at=days["date"] + DAY)}


def compute(tables: Tables, interval: Interval) -> Tables:
    """Return what the last day, week and month were like, at the end of each day."""
    days = tables["days"].dropna(subset="over_at").set_index("over_at")
    wet = (days["precipitation"] > 0).astype("float64")
    seen = {
        "station": days["station"],
        "rain_today": days["precipitation"],
        "warmth_range": days["temp_max"] - days["temp_min"],
        "wind_today": days["wind"],
        "wet_7d": wet.rolling("7D").mean(),
        "wet_30d": wet.rolling("30D").mean(),
    }
    return {"recent_weather": pd.DataFrame(seen).rename_axis("event_time").reset_index()}


def examples(tables: Tables, interval: Interval) -> pd.DataFrame:
    """Return the question at the end of each day of the interval, and the next day's answer."""
    wet = (tables["days"].set_index("date")["precipitation"] > 0).astype("int64")
    asked = wet[(wet.index >= interval.start) & (wet.index < interval.end)]
    rows = {"station": "Seattle", "month": asked.index.month, "event_time": asked.index, "wet_tomorrow": asked.array}
    return pd.DataFrame({**rows, "label_known_at": asked.index + DAY})


def assemble(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the model's inputs: the stored features. Learned from one year, the month would only mislead."""
    return rows[list(product.shape.feature_types)].astype("float64")


def expectations(dataset: str) -> list[Any]:
    """Return what a year of days, or of training examples, must look like."""
    import great_expectations.expectations as gxe

    if dataset == "training":
        return [
            gxe.ExpectColumnMeanToBeBetween(column="wet_tomorrow", min_value=0.2, max_value=0.7),
            gxe.ExpectColumnValuesToBeBetween(column="wet_30d", min_value=0, max_value=1),
        ]
    ranges = {"precipitation": (0, 150), "temp_max": (-15, 45), "temp_min": (-20, 30), "wind": (0, 40)}
    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=360, max_value=366),
        gxe.ExpectColumnValuesToBeUnique(column="date"),
        *(
            gxe.ExpectColumnValuesToBeBetween(column=c, min_value=low, max_value=high)
            for c, (low, high) in ranges.items()
        ),
        *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in ranges),
    ]


def train(features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int) -> lightgbm.Booster:
    """Return gradient-boosted trees that give the probability of a wet tomorrow."""
    import lightgbm

    repeatable = {"deterministic": True, "num_threads": 1, "verbosity": -1, "seed": seed}
    return lightgbm.train({**settings, **repeatable}, lightgbm.Dataset(features, label=label), num_boost_round=80)
