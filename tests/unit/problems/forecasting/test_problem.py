"""Forecasts: what has to be declared, from when on a label can be known, and that rows are split by time alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider import Forecasting, problems
from airflow_mlops_provider.exceptions import PartError, SourceDataError
from airflow_mlops_provider.jobs.experimentation.holdout import columns, split
from airflow_mlops_provider.lifecycle.problem import metric_of
from airflow_mlops_provider.lifecycle.shape import TimedTarget

DAY = timedelta(days=1)
WEEKLY = Forecasting(horizon=2 * DAY, season=7 * DAY, series="store")


def rows(count: int = 10) -> pd.DataFrame:
    """Return a row a day."""
    moments = pd.date_range("2026-03-02", periods=count, tz="UTC")
    return pd.DataFrame({"event_time": moments, "store": "north", "sales": range(count)})


def test_how_far_ahead_has_to_be_said() -> None:
    """It is said what to declare."""
    with pytest.raises(PartError, match=r"problem 'forecasting' needs horizon: declare Forecasting\(horizon=…\)"):
        problems.find("forecasting")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"horizon": 0 * DAY}, "horizon is 0:00:00, and has to be above 0"),
        ({"horizon": DAY, "season": -DAY}, "season is -1 day, 0:00:00, and has to be above 0"),
        ({"horizon": DAY, "group": "store"}, "declare series, and no group"),
        ({"horizon": "soon"}, "valid timedelta"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], said: str) -> None:
    """They are refused as they are declared."""
    with pytest.raises(ValueError, match=said):
        Forecasting(**options)


def test_spans_may_be_text() -> None:
    """As elsewhere in a declaration; they travel as JSON and come back the same."""
    declared = Forecasting.model_validate({"horizon": "2d", "season": "P7D", "series": "store"})
    assert declared == WEEKLY
    assert problems.find(WEEKLY).options == WEEKLY.options
    assert metric_of(WEEKLY).name == "mean_absolute_error"
    assert metric_of(Forecasting(horizon=DAY, quantiles=(0.1, 0.9))).name == "pinball_loss"


def test_a_label_is_known_from_its_own_moment_on() -> None:
    """Not before, whatever a column says; later if that says so; and not at all while it is missing."""
    moments = rows(3)["event_time"]
    said = pd.Series([moments[0], moments[1] + 5 * DAY, pd.NaT])
    known = WEEKLY.known_from(rows(3).assign(known_at=said), "known_at")
    assert [*known[:2]] == [moments[0] + 2 * DAY, moments[1] + 5 * DAY]
    assert known.isna().tolist() == [False, False, True]


def test_a_table_is_split_so_that_no_label_lies_in_the_holdout() -> None:
    """Of rows whose truth counts as known at once, those within a horizon of the holdout are left out."""
    target = TimedTarget(problem=WEEKLY, column="sales", leave_out=("store",), time="event_time")
    earlier, holdout = split(rows(), 0.3, WEEKLY, *columns(target))
    assert holdout["sales"].tolist() == [7, 8, 9]
    assert earlier["sales"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (rows().drop(columns="store"), "no column 'store', which the problem"),
        (rows().drop(columns="event_time"), r"no column 'event_time', .*name it: Forecasting\(time=…\)"),
        (rows().assign(event_time=range(10)), "column 'event_time' is int64; forecasts need moments there"),
    ],
)
def test_a_table_without_what_is_needed(frame: pd.DataFrame, said: str) -> None:
    """The column is named, and what to do."""
    with pytest.raises(SourceDataError, match=said):
        WEEKLY.truth(frame, "sales")
