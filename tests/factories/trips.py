"""A team's tables as they lie about: trips, of which some are late."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def trips(rows: int, seed: int) -> pd.DataFrame:
    """Return trips as a team might have them: keys, times with a zone, text, truth values and gaps."""
    random = np.random.default_rng(seed)
    distance = random.gamma(2, 3, rows)
    zone = random.choice(["north", "Süd", "east end"], rows)
    late = random.random(rows) < 1 / (1 + np.exp(4 - distance / 2 - (zone == "Süd")))
    return pd.DataFrame(
        {
            "trip": [f"t{number}" for number in range(rows)],
            "at": pd.date_range("2026-01-01", periods=rows, freq="min", tz="Europe/Berlin"),
            "distance km": np.where(random.random(rows) < 0.05, np.nan, distance),
            "zone": zone,
            "rain": random.random(rows) < 0.3,
            "stops": random.integers(0, 9, rows),
            "late": late.astype("int8"),
        }
    )


def deliver(folder: Path) -> None:
    """Write trips to learn from, later ones to judge by, and today's, whose end nobody knows."""
    (folder / "trips").mkdir(parents=True)
    for number in range(3):
        trips(400, number).to_parquet(folder / "trips" / f"{number}.parquet", index=False)
    trips(500, 9).to_csv(folder / "later.csv", index=False)
    trips(50, 10).drop(columns="late").to_csv(folder / "today.csv", index=False)
