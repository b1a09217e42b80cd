"""Our kinds of problems keep what every kind of problem keeps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import AnomalyDetection, MulticlassClassification, MultilabelClassification
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


class TestMulticlassClassification(ProblemContract):
    """Probabilities of classes that are numbers in the data."""

    problem = MulticlassClassification(classes=("1", "2", "3"))

    @pytest.fixture
    def labels(self) -> pd.Series:
        """All classes, as whole numbers."""
        return pd.Series([1, 2, 3, 2, 1, 2], index=range(3, 9), name="grade")

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """Probabilities, of which some are the same."""
        return np.array([[6, 3, 1], [2, 5, 3], [3, 3, 4], [2, 4, 4], [5, 5, 0], [6, 3, 1]]) / 10


class TestMultilabelClassification(ProblemContract):
    """Probabilities of labels of which a row has any number."""

    problem = MultilabelClassification(labels=("urgent", "billing"), separator=", ")

    @pytest.fixture
    def labels(self) -> pd.Series:
        """Both, one and none of them, in any order."""
        return pd.Series(["urgent, billing", "", "billing", "billing, urgent", "", "urgent"], index=range(3, 9))

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """Probabilities, of which some are the same."""
        return np.array([[0.9, 0.6], [0.2, 0.6], [0.4, 0.4], [0.8, 0.9], [0.1, 0.1], [0.5, 0.2]])


class TestAnomalyDetection(ProblemContract):
    """Any numbers, of rows some of which were anomalies."""

    problem = AnomalyDetection(alert_rate=0.3, threshold=2.5)

    @pytest.fixture
    def labels(self) -> pd.Series:
        """Both classes, as truth values."""
        return pd.Series([True, False, True, False, False, False], index=range(3, 9), name="odd")

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """Scores of any size, two of them the same."""
        return np.array([7.0, -3.0, 2.5, 2.5, 0.0, 1.5])
