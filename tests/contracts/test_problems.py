"""Binary classification keeps what every kind of problem keeps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.testing import ProblemContract


class TestBinaryClassification(ProblemContract):
    """Probabilities of a label that is 0 or 1."""

    problem = "binary_classification"

    @pytest.fixture
    def labels(self) -> pd.Series:
        """Both classes, as truth values."""
        return pd.Series([True, False, True, True, False, False], index=range(3, 9), name="late")

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """Probabilities, two of them the same."""
        return np.array([0.9, 0.2, 0.4, 0.8, 0.4, 0.1])
