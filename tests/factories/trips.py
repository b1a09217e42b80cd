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


def rides(rows: int, seed: int) -> pd.DataFrame:
    """Return the trips of a day, in UTC, as they are when it is known whether they were late."""
    names = {"at": "event_time", "distance km": "km"}
    day = trips(rows, seed).rename(columns=names)[["zone", "event_time", "km", "late"]]
    day["event_time"] = day["event_time"].dt.tz_localize(None).dt.tz_localize("UTC")
    return day.assign(end=day["event_time"] + pd.Timedelta(hours=1))


def deliver(folder: Path) -> None:
    """Write trips to learn from, later ones to judge by, a day's rides, and today's, whose end nobody knows."""
    (folder / "trips").mkdir(parents=True)
    for number in range(3):
        trips(400, number).to_parquet(folder / "trips" / f"{number}.parquet", index=False)
    trips(500, 9).to_csv(folder / "later.csv", index=False)
    (folder / "rides").mkdir()
    rides(400, 11).to_parquet(folder / "rides" / "2026-01-01.parquet", index=False)
    trips(50, 10).drop(columns="late").to_csv(folder / "today.csv", index=False)
