"""The rows to predict, and how a row with its features becomes the model's input."""

from __future__ import annotations

import pandas as pd

from airflow_mlops_provider.lifecycle.interval import Interval

ASKED_BEFORE = pd.Timedelta(hours=2)
UNKNOWN_TAIL = "UNKNOWN"
REQUEST = ["origin", "dest", "carrier", "tailnum", "flight", "distance", "hour", "sched_dep", "sched_arr"]

# Fixed, so that one row alone and a row among a thousand get the same codes; others become "no category".
ORIGINS = ("EWR", "JFK", "LGA")
CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")

STORED = (
    "origin_delay_3h",
    "origin_late_3h",
    "origin_departures_3h",
    "origin_delay_24h",
    "origin_late_24h",
    "origin_overdue_3h",
    "humid",
    "wind_speed",
    "wind_gust",
    "precip",
    "rain_6h",
    "pressure",
    "visib",
    "carrier_late_7d",
    "carrier_late_24h",
    "dest_late_7d",
    "dest_late_24h",
    "aircraft_arr_delay",
    "aircraft_air_time",
    "aircraft_legs_24h",
    "aircraft_age",
    "aircraft_seats",
)
LONG_AGO = 7 * 24 * 60.0


def examples(tables: dict[str, pd.DataFrame], interval: Interval) -> pd.DataFrame:
    """Return one row for each flight scheduled in the interval whose outcome is on record.

    Cancelled and diverted flights never arrive where they were due, so they have no outcome and no row.

    :returns: the request columns and ``event_time`` (two hours before schedule), in order of schedule. Whether they
        were late arrives with the outcomes.
    """
    flights = tables["flights"]
    scheduled = (flights["sched_dep"] >= interval.start) & (flights["sched_dep"] < interval.end)
    flown = flights[scheduled & flights["arr_at"].notna()].sort_values(["sched_dep", "carrier", "flight", "origin"])
    rows = flown[REQUEST].assign(
        tailnum=flown["tailnum"].fillna(UNKNOWN_TAIL),
        event_time=flown["sched_dep"] - ASKED_BEFORE,
    )
    return rows.reset_index(drop=True)


def assemble(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the model's inputs, each computed from its own row alone.

    :param rows: request columns, ``event_time`` and stored features, each of its declared type; null where the store
        knows nothing.
    """
    leaves = rows["sched_dep"]
    block = _minutes(rows["sched_arr"] - leaves)
    ground = _minutes(leaves - pd.Timestamp(0, tz="UTC")) - rows["aircraft_landed_minute"]
    inputs = {
        "origin": pd.Categorical(rows["origin"], categories=ORIGINS),
        "carrier": pd.Categorical(rows["carrier"], categories=CARRIERS),
        "hour": rows["hour"].astype("float64"),
        "weekday": leaves.dt.tz_convert("America/New_York").dt.dayofweek.astype("float64"),
        "distance": rows["distance"],
        "block_minutes": block,
        "miles_per_minute": rows["distance"] / block,
        **{feature: rows[feature] for feature in STORED},
        "ground_minutes": ground.clip(upper=LONG_AGO),
        # Most aircraft fly out and straight back; below zero, this one cannot be back in time.
        "slack_minutes": (ground - rows["aircraft_air_time"]).clip(upper=LONG_AGO),
    }
    return pd.DataFrame(inputs, index=rows.index)


def _minutes(spans: pd.Series) -> pd.Series:
    return spans / pd.Timedelta(minutes=1)
