"""What a page shows of probabilities: how often it was so among rows that were given about the same."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops_provider.lifecycle.figures import Curve
from airflow_mlops_provider.problems.base import Truth
from airflow_mlops_provider.problems.binary_classification import PROBLEM


def test_calibration_equals_scikit_learn() -> None:
    """Each bin that holds rows is a point, the edges 0 and 1 included."""
    from sklearn.calibration import calibration_curve

    random = np.random.default_rng(5)
    score = np.append(random.integers(0, 71, 500) / 100, [0.0, 1.0])
    label = (random.random(502) < score).astype(float)
    (figure,) = PROBLEM.figures(Truth(label), score)
    assert isinstance(figure, Curve)
    was, said = calibration_curve(label, score, n_bins=10)
    np.testing.assert_allclose(figure.lines["model"], np.stack([said, was], axis=1))
    assert len(figure.lines["model"]) < 10 and figure.diagonal


def test_rows_count_by_their_weight() -> None:
    """A row of weight two counts as two."""
    label, score = np.array([1.0, 0.0, 1.0]), np.array([0.51, 0.55, 0.59])
    (figure,) = PROBLEM.figures(Truth(label, weight=np.array([1.0, 2.0, 1.0])), score)
    (repeated,) = PROBLEM.figures(Truth(label[[0, 1, 1, 2]]), score[[0, 1, 1, 2]])
    assert isinstance(figure, Curve) and isinstance(repeated, Curve)
    assert figure.lines["model"][0] == pytest.approx(repeated.lines["model"][0])
