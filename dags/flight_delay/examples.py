"""The rows to predict, and how a row with its features becomes the model's input."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from airflow_mlops_provider import Category, by_columns
from airflow_mlops_provider.lifecycle.interval import Interval

NEW_YORK = ZoneInfo("America/New_York")
_NONE = np.timedelta64(0, "ns")
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


@by_columns
def assemble(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | Category]:
    """Return the model's inputs, each computed from its own row alone.

    :param rows: request columns, ``event_time`` and stored features, each of its declared type; null where the store
        knows nothing.
    """
    leaves, distance = rows["sched_dep"], rows["distance"]
    block = _minutes(rows["sched_arr"], leaves)
    ground = _minutes(leaves, np.datetime64(0, "ns")) - rows["aircraft_landed_minute"]
    with np.errstate(divide="ignore", invalid="ignore"):
        speed = distance / block
    return {
        "origin": Category.of(rows["origin"], ORIGINS),
        "carrier": Category.of(rows["carrier"], CARRIERS),
        "hour": rows["hour"].astype("float64"),
        "weekday": _weekday(leaves),
        "distance": distance,
        "block_minutes": block,
        "miles_per_minute": speed,
        **{feature: rows[feature] for feature in STORED},
        "ground_minutes": np.minimum(ground, LONG_AGO),
        # Most aircraft fly out and straight back; below zero, this one cannot be back in time.
        "slack_minutes": np.minimum(ground - rows["aircraft_air_time"], LONG_AGO),
    }


def _minutes(until: np.ndarray, since: np.ndarray | np.datetime64) -> np.ndarray:
    """Return minutes between moments. :raises OverflowError: if nanoseconds can't say how many: they would wrap."""
    between = until - since
    if ((between > _NONE) != (until > since)).any():
        raise OverflowError("moments that lie centuries apart")
    return np.asarray(between / np.timedelta64(1, "m"))


def _weekday(moments: np.ndarray) -> np.ndarray:
    """Return the day of the week in New York, 0 for Monday; NaN of no moment."""
    hours, missing = moments.astype("datetime64[h]").astype("int64"), np.isnat(moments)
    days = [_weekday_in(hour) for hour in np.where(missing, 0, hours).tolist()]
    return np.where(missing, np.nan, np.array(days, dtype="float64"))


@lru_cache(maxsize=10_000)
def _weekday_in(hour: int) -> int:
    return datetime.fromtimestamp(3600 * hour, NEW_YORK).weekday()
