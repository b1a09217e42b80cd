"""Rows of forecasts are resampled by blocks of time: how long these are, and what is in which."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.problems.forecasting.blocks import numbered

DAY = timedelta(days=1)


def moments(days: int, stores: int = 1) -> pd.Series:
    """Return a moment a day and store."""
    return pd.Series(np.tile(pd.date_range("2026-01-01", periods=days, tz="UTC"), stores))


def lengths(times: pd.Series, ahead: timedelta, season: timedelta | None = None) -> list[int]:
    """Return how many rows each block has."""
    return np.bincount(numbered(times, pd.Series([pd.Timedelta(ahead)] * len(times)), season)).tolist()


@pytest.mark.parametrize(
    ("days", "ahead", "season", "length"),
    [
        (1000, DAY, None, 4),
        (1000, DAY, 7 * DAY, 7),
        (1000, 5 * DAY, 7 * DAY, 20),
        (101, 5 * DAY, 7 * DAY, 5),  # a twentieth of the time
        (61, 5 * DAY, 365 * DAY, 5),  # no shorter than a horizon
    ],
)
def test_how_long_blocks_are(days: int, ahead: timedelta, season: timedelta | None, length: int) -> None:
    """Four horizons or a season, as far as there is time for twenty blocks; the last may be shorter."""
    made = lengths(moments(days), ahead, season)
    assert {*made[:-1]} == {length}
    assert made[-1] <= length
    assert sum(made) == days


def test_all_series_of_a_time_are_together() -> None:
    """What happened then, happened to all of them; the order of the rows makes no difference."""
    times = moments(80, stores=3)
    block = numbered(times, pd.Series([pd.Timedelta(DAY)] * len(times)), None)
    np.testing.assert_array_equal(block[:80], block[80:160])
    shuffled = times.sample(frac=1, random_state=1)
    again = numbered(shuffled, pd.Series([pd.Timedelta(DAY)] * len(times), index=shuffled.index), None)
    np.testing.assert_array_equal(again, block[shuffled.index])


def test_the_furthest_horizon_counts() -> None:
    """Rows of one moment look several days ahead."""
    times = moments(400).repeat(3)
    ahead = pd.Series(pd.to_timedelta(np.tile([1, 2, 4], 400), unit="D"), index=times.index)
    assert {*np.bincount(numbered(times, ahead, None))[:-1]} == {3 * 16}


def test_within_a_horizon_there_are_moments_and_within_a_moment_rows() -> None:
    """A window that is shorter than a block is no single block, whose resamples would all be alike."""
    assert lengths(moments(5, stores=2), 5 * DAY) == [2] * 5
    assert lengths(moments(1, stores=3), 5 * DAY) == [1] * 3
    assert numbered(moments(0), pd.Series(dtype="timedelta64[ns]"), None).tolist() == []
