"""What an evaluation is broken down by, and what it leaves out, by the kind of problem."""

from __future__ import annotations

import numpy as np
import pandas as pd

from airflow_mlops_provider import Forecasting, Ranking, problems
from airflow_mlops_provider.jobs.evaluation.evaluate import Settings, sliced, unjudged
from airflow_mlops_provider.lifecycle.problem import AnyProblem, metric_of
from airflow_mlops_provider.lifecycle.release.declared import Gates
from airflow_mlops_provider.lifecycle.shape import Target
from airflow_mlops_provider.scoring.inputs import truth_of


def settings(problem: AnyProblem) -> Settings:
    """Return how rows with a column ``label`` are judged."""
    return Settings(
        scoring=Target(problem=problem, column="label"), metric=metric_of(problem), gates=Gates(slice_rows=2)
    )


def test_queries_without_a_relevant_row_are_counted() -> None:
    """How many, on how many rows, and the largest by name."""
    window = pd.DataFrame({"query": [7, 7, 7, 8, 8, 9], "label": [0.0, 0, 0, 1, 0, 0]})
    (left_out,) = unjudged(settings(Ranking(group="query")), window)
    assert str(left_out) == "query: 2 with no relevant row, 4 examples in all: 7 (3), 9 (1)"


def test_forecasts_are_broken_down_by_horizon() -> None:
    """Without its being declared."""
    problem = Forecasting(horizon="P1D", horizons="days_ahead")  # type: ignore[arg-type]  # as JSON
    moments = pd.date_range("2026-03-01", periods=4, tz="UTC").repeat(2)
    window = pd.DataFrame({"event_time": moments, "days_ahead": [1, 2] * 4, "label": np.arange(8.0)})
    chosen = settings(problem)
    truth = truth_of(chosen.scoring, problems.find(problem), window)
    slices, _, _ = sliced(chosen, window, truth, window["label"].to_numpy() + window["days_ahead"])
    assert slices == {"days_ahead=1": {"rows": 4, "value": 1.0}, "days_ahead=2": {"rows": 4, "value": 2.0}}
