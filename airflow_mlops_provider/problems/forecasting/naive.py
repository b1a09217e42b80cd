"""Forecasts without a model: what a series was a season before, as far as that was known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from airflow_mlops_provider.problems.forecasting import Forecasting

Floats = npt.NDArray[np.float64]

#: So many seasons further back is looked, where the nearest has no value.
SEASONS = 3
#: A value counts as of a season before if it is no further from that than this share of the season: months and years
#: differ in length.
TOLERANCE = 1 / 24


def forecasts(problem: Forecasting, train: pd.DataFrame, rows: pd.DataFrame, label: str) -> Floats:
    """Return a forecast for each row, of labels in ``train`` and in ``rows`` that were known at its moment.

    Of quantiles, it is moved by the quantiles of its own errors in ``train``.
    """
    history = pd.concat([train, rows], ignore_index=True) if label in rows else train
    overall = float(train[label].astype("float64").mean())
    point = _point(problem, history, rows, label)
    naive = np.where(np.isnan(point), overall, point)
    if problem.loss == "poisson":  # of a series that stood at 0, as of a group without any count
        naive = np.where(naive > 0, naive, overall / 2)
    if not problem.quantiles:
        return naive
    known = _errors(problem, train, label).dropna()
    spread = np.quantile(known, problem.quantiles) if len(known) else np.zeros(len(problem.quantiles))
    moved: Floats = naive[:, None] + spread
    return moved if moved.shape[1] > 1 else moved[:, 0]


def scales(problem: Forecasting, rows: pd.DataFrame, measured: pd.DataFrame, label: str) -> Floats:
    """Return for each row the mean absolute error of naive forecasts of its series; NaN where there is none.

    :param measured: the rows of which it is the mean; of a series that is not among them, that of all is taken.
    """
    errors = _errors(problem, measured, label).abs()
    overall = errors.mean()
    if problem.series is None:
        return np.full(len(rows), overall, dtype="float64")
    own = errors.groupby(measured[problem.series]).mean()
    scale = rows[problem.series].map(own.where(own > 0)).astype("float64").fillna(overall)
    return np.asarray(scale)


def _point(problem: Forecasting, history: pd.DataFrame, rows: pd.DataFrame, label: str) -> Floats:
    """Return a forecast for each row, NaN where nothing of its series was known."""
    if problem.naive is not None:
        named: Floats = rows[problem.naive].to_numpy("float64")
        return named
    known, wanted = _known(problem, history, label), _wanted(problem, rows)
    forecast = _seasonal(problem, known, wanted) if problem.season else pd.Series(np.nan, index=wanted.index)
    return np.asarray(forecast.fillna(_last(known, wanted)), dtype="float64")


def _errors(problem: Forecasting, rows: pd.DataFrame, label: str) -> pd.Series:
    """Return the label of each row less its naive forecast: the seasonal one, if any row has that, else the last value.

    Of a mixture of both, no error would be what is usual.
    """
    if problem.naive is not None:
        return rows[label].astype("float64") - rows[problem.naive].astype("float64")
    known, wanted = _known(problem, rows, label), _wanted(problem, rows)
    naive = _seasonal(problem, known, wanted) if problem.season else _last(known, wanted)
    naive = _last(known, wanted) if naive.isna().all() else naive
    return rows[label].astype("float64") - naive.sort_index().set_axis(rows.index)


def _wanted(problem: Forecasting, rows: pd.DataFrame) -> pd.DataFrame:
    """Return series, moment of prediction and moment of the value of each row, numbered by its place."""
    times = _moments(rows[problem.time])
    series = "" if problem.series is None else rows[problem.series].astype(str).to_numpy()
    return pd.DataFrame({"at": times, "of": times + problem.ahead(rows).reset_index(drop=True), "series": series})


def _known(problem: Forecasting, history: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return each value that is known, with its series, its moment, and since when it is known."""
    frame = _wanted(problem, history).assign(value=history[label].to_numpy("float64"))
    since = frame["of"]
    if problem.known_at in history.columns:
        said = _moments(history[problem.known_at])
        since = said.where(said > since, since).where(said.notna())
    return frame.assign(since=since).dropna(subset=["value", "since"])


def _moments(times: pd.Series) -> pd.Series:
    return pd.to_datetime(times, utc=True).dt.as_unit("ns").reset_index(drop=True)


def _seasonal(problem: Forecasting, known: pd.DataFrame, wanted: pd.DataFrame) -> pd.Series:
    """Return what each series was one season before, or several, if that was known at the moment of prediction."""
    season = pd.Timedelta(problem.season)
    values = known.sort_values(["of", "since"])[["series", "of", "since", "value"]].drop_duplicates(["series", "of"])
    values = values.assign(here=values["of"])
    forecast = pd.Series(np.nan, index=wanted.index)
    nearest = int(np.ceil((wanted["of"] - wanted["at"]).min() / season))
    furthest = int(np.ceil((wanted["of"] - wanted["at"]).max() / season)) + SEASONS
    for seasons in range(max(1, nearest), furthest + 1):
        open_ = wanted[forecast.isna()]
        looked = open_.assign(here=open_["of"] - seasons * season).sort_values("here", kind="stable")
        places = looked.index
        seen = pd.merge_asof(
            looked[["series", "at", "here"]],
            values[["series", "here", "since", "value"]],
            on="here",
            by="series",
            direction="nearest",
            tolerance=season * TOLERANCE,
        )
        value = seen["value"].where(seen["since"] <= seen["at"]).set_axis(places)
        forecast = forecast.fillna(value)
    return forecast


def _last(known: pd.DataFrame, wanted: pd.DataFrame) -> pd.Series:
    """Return the value of each series that was known last at the moment of prediction."""
    values = known.sort_values(["since", "of"], kind="stable")[["series", "since", "value"]]
    looked = wanted.sort_values("at", kind="stable")
    seen = pd.merge_asof(looked, values, left_on="at", right_on="since", by="series")
    return seen["value"].set_axis(looked.index)
