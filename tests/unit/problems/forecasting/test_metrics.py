"""The metrics that forecasts have beside those of amounts, held against their definitions."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import Forecasting
from airflow_mlops_provider.exceptions import DataValidationError
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth

DAY = timedelta(days=1)
WEEKLY = Forecasting(horizon=DAY, season=7 * DAY, series="store")
LABEL, SCORE = np.array([0.0, 2.0, 4.0, 0.0]), np.array([1.0, 1.0, 8.0, 0.0])


def value(metric: str, weight: tuple[float, ...] = (1, 1, 1, 1), scale: np.ndarray | None = None) -> float:
    """Return a metric of weighted rows."""
    return float(WEEKLY.weighted(metric, Truth(LABEL, scale=scale), SCORE)(np.array([weight], dtype=float))[0])


def test_shares_of_labels() -> None:
    """All errors over all labels, with the rows' weights in both."""
    assert value("weighted_absolute_percentage_error") == pytest.approx(6 / 6)
    assert value("weighted_absolute_percentage_error", (3, 1, 2, 0)) == pytest.approx((3 + 1 + 8) / (2 + 8))
    with pytest.raises(DataValidationError, match="all 2 labels are 0"):
        WEEKLY.weighted("weighted_absolute_percentage_error", Truth(np.zeros(2)), np.ones(2))


def test_shares_of_labels_and_forecasts() -> None:
    """From 0, where both are 0, to 2, where one is."""
    assert value("symmetric_mean_absolute_percentage_error") == pytest.approx((2 + 2 / 3 + 2 * 4 / 12 + 0) / 4)


def test_shares_of_naive_errors() -> None:
    """Each row's error is in units of its series'; a part of the rows keeps theirs."""
    scale = np.array([2.0, 2.0, 8.0, 8.0])
    assert value("mean_absolute_scaled_error", scale=scale) == pytest.approx((0.5 + 0.5 + 0.5 + 0) / 4)
    part = Truth(LABEL, scale=scale).part(np.array([2]))
    assert statistics.measure(WEEKLY, "mean_absolute_scaled_error", part, SCORE[2:3]) == 0.5
    for missing in (None, np.array([2.0, 2.0, np.nan, 8.0]), np.array([2.0, 2.0, 0.0, 8.0])):
        with pytest.raises(DataValidationError, match=r"no naive forecast has an error.*Forecasting\(naive=…\)"):
            value("mean_absolute_scaled_error", scale=missing)


def test_a_naive_forecaster_is_worth_1() -> None:
    """In the window in which its error is measured, the naive baseline's scaled error is 1."""
    random = np.random.default_rng(1)
    moments = pd.date_range("2026-03-02", periods=70, tz="UTC")
    rows = pd.DataFrame({"event_time": moments, "store": "north", "sales": random.normal(50, 5, 70)})
    naive = WEEKLY.baseline(rows, rows, "sales", None)
    known = slice(7, None)  # before that, there is no week before
    truth = WEEKLY.truth(rows, "sales", learned=rows).part(known)
    assert statistics.measure(WEEKLY, "mean_absolute_scaled_error", truth, naive[known]) == pytest.approx(1.0)


def test_what_models_learned_measures() -> None:
    """The scale is that of the training rows, where they are at hand."""
    moments = pd.date_range("2026-03-02", periods=30, tz="UTC")
    rows = pd.DataFrame({"event_time": moments, "store": "north", "sales": np.arange(30.0)})
    assert WEEKLY.truth(rows, "sales", learned=rows.assign(sales=3 * rows["sales"])).scale == pytest.approx(
        3 * WEEKLY.truth(rows, "sales").scale  # type: ignore[operator]
    )


def test_a_better_model_is_better() -> None:
    """By each metric, a planted better model gains, and the interval of its gain excludes none at all."""
    random = np.random.default_rng(1)
    moments = np.tile(pd.date_range("2026-03-02", periods=200, tz="UTC"), 2)
    rows = pd.DataFrame({"event_time": pd.DatetimeIndex(moments, tz="UTC"), "store": [*"ns"] * 200})
    rows["sales"] = random.normal(50, 9, 400)
    label = rows["sales"].to_numpy()
    score, worse = label + random.normal(0, 3, 400), label + random.normal(0, 5, 400)
    truth = WEEKLY.truth(rows, "sales")
    for metric in WEEKLY.available_metrics:
        assert statistics.gain(WEEKLY, metric, truth, score, worse, 0).low > 0, metric
        assert statistics.gain(WEEKLY, metric, truth, worse, score, 0).high < 0, metric
