"""What pages show of amounts, forecasts and rankings beside their metrics."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops_provider import Forecasting, Ranking, Regression
from airflow_mlops_provider.lifecycle.figures import Curve, Figure
from airflow_mlops_provider.problems.base import Truth

LABEL = np.arange(100.0)


def curve(figure: Figure) -> tuple[tuple[float, float], ...]:
    """Return the points of a curve's only line."""
    assert isinstance(figure, Curve)
    (line,) = figure.lines.values()
    return line


def test_amounts_by_tenth() -> None:
    """A model that says twice as much has dots below the diagonal; rows of weight 0 count for nothing."""
    (shown,) = Regression().figures(Truth(LABEL), 2 * LABEL)
    assert curve(shown) == tuple((20.0 * tenth + 9, 10.0 * tenth + 4.5) for tenth in range(10))
    (shown,) = Regression().figures(Truth(LABEL, weight=(LABEL >= 50).astype(float)), LABEL)
    assert curve(shown)[0] == (54.5, 54.5)


def test_quantiles_and_how_often_labels_were_below() -> None:
    """The second figure holds the chances that were declared against those that were."""
    scores = np.tile([19.0, 49.0, 89.0], (100, 1))
    _, below = Regression(quantiles=(0.1, 0.5, 0.9)).figures(Truth(LABEL), scores)
    assert curve(below) == ((0.1, 0.2), (0.5, 0.5), (0.9, 0.9))


def test_errors_over_time() -> None:
    """Block by block."""
    truth = Truth(LABEL, np.arange(100) // 50)
    *_, over_time = Forecasting(horizon="P1D").figures(truth, LABEL + (LABEL >= 50))  # type: ignore[arg-type]  # as JSON
    assert curve(over_time) == ((1.0, 0.0), (2.0, 1.0))


def test_relevance_by_place() -> None:
    """The mean over all queries that have such a place; rows that tie share theirs."""
    truth = Truth(np.array([3.0, 1.0, 0.0, 2.0, 0.0]), np.array([0, 0, 0, 1, 1]))
    (shown,) = Ranking(group="query", at=2).figures(truth, np.array([9.0, 5.0, 1.0, 4.0, 4.0]))
    assert curve(shown) == pytest.approx(np.array([(1, (3 + 1) / 2), (2, (1 + 1) / 2)]))
