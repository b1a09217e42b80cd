"""Feature rules: what was known about an origin, a carrier, a destination and an aircraft, and from when.

A row's ``event_time`` is the moment at which everything in it was known: departures count once they have left, arrivals
once they have landed, an hour's weather once the hour is over.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from airflow_mlops_provider.lifecycle.interval import Interval

LATE_MINUTES = 15
Times = npt.NDArray[np.datetime64]
Numbers = npt.NDArray[np.float64]


def compute(tables: dict[str, pd.DataFrame], interval: Interval) -> dict[str, pd.DataFrame]:
    """Return each view's feature rows whose ``event_time`` lies in the interval.

    :param tables: clean tables of the interval and of the one before it, concatenated.
    """
    flights, weather = tables["flights"], tables["weather"]
    frames = {
        "origin_traffic": _origin_traffic(flights, _grid(interval, "1h")),
        "origin_weather": _origin_weather(weather),
        "carrier_record": _arrival_record(flights, "carrier", _grid(interval, "6h")),
        "dest_record": _arrival_record(flights, "dest", _grid(interval, "6h")),
        "aircraft": _aircraft(flights, tables["planes"]),
    }
    return {view: _inside(frame, interval) for view, frame in frames.items()}


def _origin_traffic(flights: pd.DataFrame, grid: pd.DatetimeIndex) -> pd.DataFrame:
    left = flights[flights["dep_at"].notna()]
    frames = []
    for origin in sorted(flights["origin"].unique()):
        here = left[left["origin"] == origin]
        when, delay = _utc(here["dep_at"]), here["dep_delay"].to_numpy("float64")
        columns: dict[str, object] = {"event_time": grid, "origin": origin}
        for hours in (3, 24):
            count, minutes = _trailing(_utc(grid), when, delay, hours)
            _, late = _trailing(_utc(grid), when, delay > LATE_MINUTES, hours)
            columns[f"origin_delay_{hours}h"] = _ratio(minutes, count)
            columns[f"origin_late_{hours}h"] = _ratio(late, count)
        columns["origin_departures_3h"] = _trailing(_utc(grid), when, delay, 3)[0]
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames).merge(_overdue(flights), on=["origin", "event_time"], how="left")


def _overdue(flights: pd.DataFrame) -> pd.DataFrame:
    """Return, for each origin and full hour, the share of the last 3 h of schedule that is over 15 min late to leave.

    Cancelled flights count here like those that will leave later: at that hour, nobody can tell them apart.
    """
    due = flights["sched_dep"] + pd.Timedelta(minutes=LATE_MINUTES)
    first = due.dt.ceil("1h")
    hours = []
    for step in range(3):
        at = first + pd.Timedelta(hours=step)
        waits = ~(flights["dep_at"] <= at)
        hour = pd.DataFrame(
            {"origin": flights["origin"], "event_time": at, "origin_overdue_3h": waits.astype("float64")}
        )
        hours.append(hour[at < flights["sched_dep"] + pd.Timedelta(hours=3)])
    return pd.concat(hours).groupby(["origin", "event_time"], as_index=False).mean()


def _origin_weather(weather: pd.DataFrame) -> pd.DataFrame:
    seen = weather[weather["known_at"].notna()].sort_values(["origin", "known_at"])
    # Temperature is left out: learned in winter, it says "winter", and means nothing in June.
    kept = ["humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    frame = seen[["origin", *kept]].assign(event_time=seen["known_at"])
    rain = seen.set_index("known_at").groupby("origin")["precip"].rolling("6h").sum()
    frame["rain_6h"] = rain.to_numpy().round(3)
    return frame


def _arrival_record(flights: pd.DataFrame, key: str, grid: pd.DatetimeIndex) -> pd.DataFrame:
    landed = flights[flights["arr_at"].notna()]
    frames = []
    for name in sorted(flights[key].unique()):
        own = landed[landed[key] == name]
        when, delay = _utc(own["arr_at"]), own["arr_delay"].to_numpy("float64")
        week, late_week = _trailing(_utc(grid), when, delay > LATE_MINUTES, 7 * 24)
        day, late_day = _trailing(_utc(grid), when, delay > LATE_MINUTES, 24)
        columns = {
            "event_time": grid,
            key: name,
            f"{key}_late_7d": _ratio(late_week, week),
            f"{key}_late_24h": _ratio(late_day, day),
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames)


def _aircraft(flights: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    landed = flights[flights["arr_at"].notna() & flights["tailnum"].notna()]
    landed = landed.sort_values(["tailnum", "arr_at", "sched_dep"]).drop_duplicates(["tailnum", "arr_at"], keep="last")
    legs = landed.set_index("arr_at").groupby("tailnum")["arr_delay"].rolling("24h").count()
    frame = pd.DataFrame(
        {
            "event_time": landed["arr_at"],
            "tailnum": landed["tailnum"],
            "aircraft_arr_delay": landed["arr_delay"],
            "aircraft_landed_minute": _utc(landed["arr_at"]).astype("datetime64[m]").astype("float64"),
            "aircraft_air_time": landed["air_time"],
            "aircraft_legs_24h": legs.to_numpy(),
        }
    )
    of_plane = planes.set_index("tailnum")
    frame["aircraft_age"] = frame["event_time"].dt.year - frame["tailnum"].map(of_plane["year"])
    frame["aircraft_seats"] = frame["tailnum"].map(of_plane["seats"])
    return frame


def _trailing(at: Times, when: Times, what: npt.NDArray[np.generic], hours: int) -> tuple[Numbers, Numbers]:
    """Return count and sum of what happened in ``(at - hours, at]``; sums of whole numbers are exact."""
    order = np.argsort(when, kind="stable")
    when = when[order]
    total = np.concatenate(([0.0], np.cumsum(what[order], dtype="float64")))
    after = np.searchsorted(when, at - np.timedelta64(hours, "h"), side="right")
    upto = np.searchsorted(when, at, side="right")
    return (upto - after).astype("float64"), total[upto] - total[after]


def _ratio(part: Numbers, whole: Numbers) -> Numbers:
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))


def _grid(interval: Interval, step: str) -> pd.DatetimeIndex:
    return pd.date_range(pd.Timestamp(interval.start).ceil(step), interval.end, freq=step, inclusive="left")


def _utc(times: pd.Series | pd.DatetimeIndex) -> Times:
    return np.asarray(pd.DatetimeIndex(times).tz_convert("UTC").tz_localize(None).to_numpy("datetime64[ns]"))


def _inside(frame: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    inside = frame[(frame["event_time"] >= interval.start) & (frame["event_time"] < interval.end)]
    return inside.sort_values(["event_time", *_keys(inside)], ignore_index=True)


def _keys(frame: pd.DataFrame) -> list[str]:
    return [key for key in ("origin", "carrier", "dest", "tailnum") if key in frame]
