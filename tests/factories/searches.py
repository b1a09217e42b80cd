"""A team's tables as they lie about: what was shown in searches and what of it was bought, and what stores sold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def searches(count: int, seed: int) -> pd.DataFrame:
    """Return the items that each search showed; bought is what is near and cheap, and some searches led to nothing."""
    random = np.random.default_rng(seed)
    query = np.repeat(np.arange(count), random.integers(2, 13, count))
    price, distance = random.gamma(3, 10, len(query)), random.gamma(2, 2, len(query))
    wish = -price / 20 - distance / 2 + random.normal(0, 0.8, len(query))
    return pd.DataFrame(
        {
            "search": [f"{seed}-{number}" for number in query],
            "item": [f"i{number}" for number in random.integers(0, 40, len(query))],
            "price": price,
            "distance": distance,
            "relevance": np.select([wish > -1.2, wish > -2.0], [2, 1], 0),
        }
    )


def sales(days: int, first: str) -> pd.DataFrame:
    """Return a row a day and store: what is known in the evening, and what was sold the day after."""
    moments = pd.date_range("2025-01-01", periods=480, freq="D", tz="UTC")
    frames = []
    for seed, store in enumerate(("north", "south")):
        random = np.random.default_rng(seed)
        level = 50 + np.cumsum(random.normal(0, 0.5, len(moments)))
        sold = (level * (1 + 0.4 * (moments.dayofweek >= 5)) + random.normal(0, 3, len(moments))).round()
        today = pd.Series(sold)
        known = {"sold_today": today, "week_before": today.shift(6), "weekday": moments.dayofweek}
        frames.append(pd.DataFrame({"store": store, "day": moments, **known, "sold_tomorrow": today.shift(-1)}))
    whole = pd.concat(frames).dropna()
    begin = pd.Timestamp(first, tz="UTC")
    return whole[(whole["day"] >= begin) & (whole["day"] < begin + pd.Timedelta(days=days))]


def deliver(folder: Path) -> None:
    """Write searches and sales to learn from, and later ones to judge by."""
    searches(400, 1).to_parquet(folder / "searches.parquet", index=False)
    searches(300, 2).to_parquet(folder / "later_searches.parquet", index=False)
    sales(300, "2025-01-08").to_parquet(folder / "sales.parquet", index=False)
    sales(120, "2025-11-05").to_parquet(folder / "later_sales.parquet", index=False)
