"""How rows lie in time: grain, series, and what moved."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.profiles.time import intervals, psi, starts
from airflow_mlops_provider.backends.profiles.values import values_of
from tests.factories.looked_at import profiled, proposed, statsmodels, vega


@pytest.mark.parametrize("grain", ["hour", "day", "week", "month", "quarter", "year"])
def test_intervals_begin_where_calendars_say(grain: str) -> None:
    """Each time is between the begin of its interval and that of the next; pandas has the same begins."""
    times = pd.Series(pd.date_range("1931-05-04 07:13", "2031-08-09", periods=500))
    number = intervals(times.astype("int64").to_numpy() / 1e9, grain)  # type: ignore[arg-type]
    code = {"hour": "h", "day": "D", "week": "W-SUN", "month": "M", "quarter": "Q", "year": "Y"}[grain]
    begins = [pd.Timestamp(starts(int(each), grain), unit="s") for each in number]  # type: ignore[arg-type]
    assert begins == [*times.dt.to_period(code).dt.start_time]


@pytest.mark.parametrize(
    ("data", "keys", "step", "grain"),
    [
        (vega("stocks.csv"), ("symbol",), "month", "year"),
        (vega("us-employment.csv"), (), "month", "year"),
        (vega("seattle-weather.csv"), (), "day", "quarter"),
        (vega("seattle-temps.csv"), (), "hour", "month"),
        (statsmodels("co2"), (), "week", "year"),
        (statsmodels("grunfeld"), ("firm",), "year", "year"),
        (statsmodels("macrodata"), (), "quarter", "year"),
    ],
)
def test_series_and_their_step(data: object, keys: tuple[str, ...], step: str, grain: str) -> None:
    """Which columns tell series apart, by what their rows follow each other, and how long an interval is."""
    seen, proposal = proposed(data)  # type: ignore[arg-type]
    assert seen.time and (seen.time.keys, seen.time.step) == (keys, step)
    assert proposal.delivery.grain == grain


def test_exchanges_are_closed_on_weekends() -> None:
    """Two days in seven without rows are no reason to call a series irregular."""
    days = pd.bdate_range("2020-01-01", periods=300)
    seen, _ = profiled(pd.DataFrame({"day": days, "close": np.random.default_rng(1).normal(size=300)}), label="close")
    assert seen.time and seen.time.step == "day"


def test_events_are_no_series() -> None:
    """Rows that come when they like have no step, whoever they are of."""
    random = np.random.default_rng(2)
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.integers(0, 10**7, 2000)), unit="s")
    frame = pd.DataFrame({"at": at, "user": random.integers(0, 40, 2000), "amount": random.gamma(2, 3, 2000)})
    seen, problem = profiled(frame, label="amount")
    assert seen.time and seen.time.step is None and problem.kind == "regression"


def moved(earlier: np.ndarray, later: np.ndarray) -> float:
    """Return how far a column moved."""
    import pyarrow as pa

    values = values_of(pa.table({"a": np.concatenate([earlier, later])}))[0]["a"]
    first = np.arange(len(earlier) + len(later)) < len(earlier)
    return psi(values, first, ~first)


def test_the_index_is_the_literatures() -> None:
    """Of two classes it is the formula, worked by hand; of the same distribution it is nothing, if few."""
    shares = np.array([0.5, 0.5]), np.array([0.8, 0.2])
    by_hand = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    many = np.repeat(["a", "b"], 50_000), np.repeat(["a", "b"], [80_000, 20_000])
    assert moved(*many) == pytest.approx(by_hand, abs=0.002)
    random = np.random.default_rng(3)
    alike = [moved(random.normal(size=60), random.normal(size=60)) for _ in range(200)]
    assert np.mean(alike) < 0.06
    assert moved(random.normal(size=500), random.normal(1, 1, 500)) > 0.5


def test_values_that_went_missing_moved() -> None:
    """A missing value is a class of its own."""
    random = np.random.default_rng(4)
    later = random.normal(size=1000)
    later[:500] = np.nan
    assert moved(random.normal(size=1000), later) > 0.5
