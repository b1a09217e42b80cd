"""What is forecast without a model: what a series was a season before, and never anything that was not known yet."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import Forecasting
from airflow_mlops_provider.problems.forecasting.naive import scales

DAY = timedelta(days=1)
WEEKLY = Forecasting(horizon=DAY, season=7 * DAY, series="store")


def days(count: int = 28, *, start: str = "2026-03-02", stores: tuple[str, ...] = ("north",)) -> pd.DataFrame:
    """Return a row a day and store, each label the number of the day that it is of: the one after the row's."""
    moments = pd.date_range(start, periods=count, tz="UTC")
    frame = pd.concat([pd.DataFrame({"event_time": moments, "store": store}) for store in stores], ignore_index=True)
    number = (frame["event_time"] - pd.Timestamp("2026-03-01", tz="UTC")).dt.days + 1.0
    return frame.assign(sales=number + 100 * (frame["store"] == "south"), label_known_at=frame["event_time"] + DAY)


def naive(problem: Forecasting, train: pd.DataFrame, rows: pd.DataFrame) -> list[float]:
    """Return the baseline's forecasts."""
    return [*problem.baseline(train, rows, "sales", None)]


def test_a_season_before() -> None:
    """Each row is given what its series was a week before the day that it is of, wherever that row lies."""
    train, later = days(stores=("north", "south")), days(5, start="2026-03-30", stores=("north", "south"))
    shuffled = train.sample(frac=1, random_state=1)
    assert naive(WEEKLY, shuffled, later.drop(columns="sales")) == [*(later["sales"] - 7)]
    backwards = later[::-1]
    assert naive(WEEKLY, train, backwards) == [*(backwards["sales"] - 7)]


def test_several_seasons_before() -> None:
    """Where a week before is not known yet, as the horizon is longer, or has no value, two weeks before is taken."""
    far = WEEKLY.model_copy(update={"horizon": 10 * DAY})
    train = days(40)
    train = train.assign(label_known_at=train["event_time"] + 10 * DAY)
    rows = train[-3:].drop(columns="sales")
    assert naive(far, train[:-3], rows) == [*(train["sales"][-3:] - 14)]
    gap = days(28).drop(index=21)  # of the day whose value is a week before the first row's
    later = days(2, start="2026-03-30")
    assert naive(WEEKLY, gap, later) == [later["sales"][0] - 14, later["sales"][1] - 7]


def test_labels_among_the_judged_rows_count_once_they_are_known() -> None:
    """As they would in production: in the second week of a window the first is the season before."""
    train, later = days(7), days(14, start="2026-03-09")
    assert naive(WEEKLY, train, later) == [*(later["sales"] - 7)]


def test_nothing_is_known_before_its_time() -> None:
    """Whatever lies later than a row's own knowledge could be anything else, and its forecast stays the same."""
    train, later = days(28, stores=("north", "south")), days(10, start="2026-03-30", stores=("north", "south"))
    later = later.assign(label_known_at=later["label_known_at"] + 3 * DAY)
    for problem in (WEEKLY, WEEKLY.model_copy(update={"season": None})):
        before = naive(problem, train, later)
        for row in (0, 4, 9, 15):
            now = later["event_time"][row]
            poisoned = later.assign(sales=later["sales"].where(later["label_known_at"] <= now, 1e9))
            assert naive(problem, train, poisoned)[row] == before[row] < 1e6


def test_a_label_that_came_late_is_not_used_before() -> None:
    """It became known three days after its own: until then the week before that one is taken."""
    train = days(28)
    late = train.assign(label_known_at=train["label_known_at"] + 7 * DAY)
    later = days(1, start="2026-03-30")
    assert naive(WEEKLY, late, later) == [later["sales"][0] - 14]


def test_the_last_value_where_there_is_no_season() -> None:
    """Of the same series; and the mean of all where nothing of it is known."""
    train = days(10, stores=("north", "south"))
    rows = days(1, start="2026-03-20", stores=("north", "south", "new")).drop(columns="sales")
    plain = WEEKLY.model_copy(update={"season": None})
    known = train.groupby("store")["sales"].max()
    assert naive(plain, train, rows) == [known["north"], known["south"], train["sales"].mean()]
    too_short = WEEKLY.model_copy(update={"season": 365 * DAY})
    assert naive(too_short, train, rows) == naive(plain, train, rows)


def test_months_differ_in_length() -> None:
    """A year before the first of March is the first of March, whether there was a leap day or not."""
    moments = pd.date_range("2010-01-01", periods=60, freq="MS", tz="UTC")
    frame = pd.DataFrame({"event_time": moments, "sales": np.arange(60.0)})
    yearly = Forecasting(horizon=28 * DAY, season=timedelta(days=365))
    assert naive(yearly, frame[:48], frame[48:].drop(columns="sales")) == [*range(36, 48)]


def test_each_row_has_its_horizon() -> None:
    """Of rows of one moment that look one, two and eight days ahead, each is given the same weekday that is known."""
    several = Forecasting(horizon=DAY, horizons="days_ahead", season=7 * DAY)
    train = days(28)[["event_time", "sales"]].assign(days_ahead=1)
    rows = pd.DataFrame({"event_time": pd.Timestamp("2026-03-30", tz="UTC"), "days_ahead": [1, 2, 8]})
    first = (rows["event_time"][0] - pd.Timestamp("2026-03-01", tz="UTC")).days
    assert naive(several, train, rows) == [first + 1 - 7, first + 2 - 7, first + 8 - 14]
    assert several.slices == ("days_ahead",)


def test_a_column_may_hold_it() -> None:
    """Then nothing is looked up; where it has a gap, the mean is taken."""
    named = WEEKLY.model_copy(update={"naive": "last_week"})
    rows = days(2, start="2026-03-30").assign(last_week=[5.0, None])
    assert naive(named, days(3), rows) == [5.0, days(3)["sales"].mean()]


def test_quantiles_lie_around_it_as_its_errors_did() -> None:
    """Of forecasts that were always 7 too low, every quantile is 7 higher; of such that varied, they are spread."""
    levels = {"quantiles": (0.1, 0.9)}
    train, later = days(28), days(2, start="2026-03-30")
    steady = WEEKLY.model_copy(update=levels).baseline(train, later, "sales", None)
    np.testing.assert_allclose(steady, np.column_stack([later["sales"]] * 2))
    random = np.random.default_rng(1)
    noisy = days(280).assign(sales=random.normal(50, 5, 280))
    rows = noisy[-3:].drop(columns="sales")
    low, high = WEEKLY.model_copy(update=levels).baseline(noisy[:-3], rows, "sales", None).T
    assert (high - low).tolist() == pytest.approx([2 * 1.28 * 5 * np.sqrt(2)] * 3, rel=0.15)


def test_of_counts_it_lies_above_0() -> None:
    """A day without any sale does not make one impossible."""
    counts = WEEKLY.model_copy(update={"loss": "poisson"})
    train = days(28).assign(sales=[0.0, 0, 0, 0, 0, 0, 7] * 4)
    assert naive(counts, train, days(7, start="2026-03-30")) == [*[0.5] * 6, 7.0]


def test_a_column_instead() -> None:
    """What ``evaluation.baseline`` names is taken as of any amount."""
    train = days(28).assign(weather=[*"rs"] * 14)
    rows = days(1, start="2026-03-30").assign(weather="r")
    assert [*Forecasting(horizon=DAY, loss="squared").baseline(train, rows, "sales", "weather")] == [
        train["sales"][::2].mean()
    ]


# --- how large its errors are -----------------------------------------------------------------------------------------


def test_the_scale_is_the_error_of_naive_forecasts() -> None:
    """Of each series its own, from what models learned; a series that was not there has that of all."""
    train = days(28, stores=("north", "south"))
    train["sales"] = np.where(train["store"] == "south", 10, 1) * train["sales"] % 1000
    rows = days(1, start="2026-03-30", stores=("north", "south", "new"))
    north, south, new = scales(WEEKLY, rows, train, "sales")
    lagged = train.groupby("store")["sales"].diff(7).abs()
    own = lagged.groupby(train["store"]).mean()
    assert (north, south, new) == pytest.approx((own["north"], own["south"], lagged.mean()))


@pytest.mark.parametrize("train", [days(1), days(28).assign(sales=3.0)])
def test_without_an_error_there_is_no_scale(train: pd.DataFrame) -> None:
    """Nothing earlier, or nothing that ever changes: no number is made up."""
    scale: Any = scales(WEEKLY, days(2), train, "sales")
    assert not (scale > 0).any()
