"""Cleaning rules: raw deliveries to tables in UTC, without duplicates, strays or impossible values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from airflow_mlops_provider.lifecycle.interval import Interval

# The airports table knows none of the Caribbean destinations.
CARIBBEAN = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")

# What can happen, ends included, in each column's own unit; anything else is a slip of the pen and becomes null.
POSSIBLE: dict[str, dict[str, tuple[float, float]]] = {
    "flights": {
        "dep_delay": (-120, 2880),
        "arr_delay": (-240, 2880),
        "air_time": (10, 1200),
        "distance": (1, 10_000),
    },
    "weather": {
        "temp": (-60, 140),
        "humid": (0, 100),
        "wind_speed": (0, 150),
        "wind_gust": (0, 200),
        "precip": (0, 10),
        "visib": (0, 100),
    },
    "planes": {"year": (1930, 2030), "seats": (1, 900)},
}


def clean(raw: dict[str, pd.DataFrame], interval: Interval) -> dict[str, pd.DataFrame]:
    """Return the clean tables of one interval.

    Flights gain ``sched_dep``, ``dep_at``, ``sched_arr`` and ``arr_at`` in UTC; the last two of each pair are null for
    what never happened (cancelled, diverted). Weather gains ``known_at``: an hour's observation counts once it is over.

    :param raw: the sources as delivered, typed as the product declares them.
    :param interval: the time that belongs in the tables; rows of other times are dropped.
    """
    return {
        "flights": in_utc(_inside(raw["flights"], interval), raw["airports"]),
        "weather": _weather(_inside(raw["weather"], interval)),
        "planes": _planes(raw["planes"]),
        "outcomes": raw["outcomes"].drop_duplicates(ignore_index=True),
    }


def _inside(rows: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    in_time = (rows["time_hour"] >= interval.start) & (rows["time_hour"] < interval.end)
    return rows[in_time].drop_duplicates(ignore_index=True)


def in_utc(rows: pd.DataFrame, airports: pd.DataFrame) -> pd.DataFrame:
    """Return flights with their scheduled and actual times in UTC, without those that can't have been scheduled."""
    flights = _possible(rows[_has_schedule(rows)].reset_index(drop=True), "flights")
    flights["sched_dep"] = flights["time_hour"] + pd.to_timedelta(flights["minute"], unit="min")
    flights["sched_arr"] = _scheduled_arrival(flights, airports)
    flights["dep_at"] = flights["sched_dep"] + pd.to_timedelta(flights["dep_delay"], unit="min")
    flights["arr_at"] = flights["sched_arr"] + pd.to_timedelta(flights["arr_delay"], unit="min")
    order = ["sched_dep", "carrier", "flight", "origin"]
    return flights.drop(columns=["minute", "sched_arr_time"]).sort_values(order, kind="stable", ignore_index=True)


def _has_schedule(rows: pd.DataFrame) -> pd.Series:
    arrival = rows["sched_arr_time"]
    return rows["minute"].between(0, 59) & arrival.between(0, 2400) & (arrival % 100 < 60)


def _scheduled_arrival(flights: pd.DataFrame, airports: pd.DataFrame) -> pd.Series:
    zone_of = airports.set_index("faa")["tzone"].to_dict() | CARIBBEAN
    zones = flights["dest"].map(zone_of)
    parts = [_arrival_in(str(zone), flights.loc[zones == zone]) for zone in zones.dropna().unique()]
    known = pd.concat(parts) if parts else pd.Series(dtype="datetime64[ns, UTC]")
    return known.reindex(flights.index)


def _arrival_in(zone: str, flights: pd.DataFrame) -> pd.Series:
    leaves = flights["sched_dep"].dt.tz_convert(zone).dt.tz_localize(None)
    hhmm = flights["sched_arr_time"]
    lands = leaves.dt.normalize() + pd.to_timedelta(hhmm // 100 * 60 + hhmm % 100, unit="min")
    lands = lands.where(lands > leaves, lands + pd.Timedelta(days=1))
    # The hour that autumn repeats is read as its second pass, the one in standard time.
    second_pass = np.zeros(len(lands), dtype=bool)
    return lands.dt.tz_localize(zone, ambiguous=second_pass, nonexistent="shift_forward").dt.tz_convert("UTC")


def _weather(rows: pd.DataFrame) -> pd.DataFrame:
    weather = _possible(rows.drop_duplicates(["origin", "time_hour"]), "weather")
    weather["known_at"] = weather["time_hour"] + pd.Timedelta(hours=1)
    return weather.sort_values(["time_hour", "origin"], ignore_index=True)


def _planes(rows: pd.DataFrame) -> pd.DataFrame:
    planes = _possible(rows.drop_duplicates("tailnum"), "planes")
    return planes.sort_values("tailnum", ignore_index=True)


def _possible(rows: pd.DataFrame, table: str) -> pd.DataFrame:
    bounded = rows.copy()
    for column, (least, most) in POSSIBLE[table].items():
        values = bounded[column].astype("float64")
        bounded[column] = values.where(values.between(least, most))
    return bounded
