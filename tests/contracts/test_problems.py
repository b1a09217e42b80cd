"""Our kinds of problems keep what every kind of problem keeps."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import (
    AnomalyDetection,
    Forecasting,
    MulticlassClassification,
    MultilabelClassification,
    Ranking,
    Regression,
)
from airflow_mlops_provider.problems.base import Problem, Truth
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


class TestRegression(ProblemContract):
    """Amounts, also below 0."""

    problem = "regression"

    @pytest.fixture
    def labels(self) -> pd.Series:
        """Whole numbers and others, two of them the same, one 0."""
        return pd.Series([1, -2.5, 4, 0, 4, 16, 3], index=range(3, 10), name="amount")

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """Two errors of the same size, and one exact."""
        return np.array([1.5, -2.0, 3.0, 1.0, 9.0, 12.0, 3.0])


class TestRegressionOfMedians(TestRegression):
    """The same, judged by absolute errors; what belongs together is resampled together."""

    problem = Regression(loss="absolute", group="house")

    def rows(self, kind: Problem, labels: pd.Series) -> pd.DataFrame:
        """Return labels of three houses."""
        return super().rows(kind, labels).assign(house=[*"aabbbcc"])


class TestRegressionOfCounts(ProblemContract):
    """Counts, and predictions above 0."""

    problem = Regression(loss="poisson")

    @pytest.fixture
    def labels(self) -> pd.Series:
        """Two of them 0."""
        return pd.Series([0, 3, 1, 0, 7], name="visits")

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """None of them 0."""
        return np.array([0.5, 2.0, 1.0, 0.1, 9.0])


class TestRegressionOfQuantiles(TestRegression):
    """An interval, and the median within."""

    problem = Regression(quantiles=(0.1, 0.5, 0.9))

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """In order; some labels lie outside, one at an end."""
        middle = np.array([1.5, -2.0, 3.0, 1.0, 9.0, 12.0, 3.0])
        return np.column_stack([middle - 2, middle, middle + 1])


class TestRegressionOfOneQuantile(TestRegression):
    """A single number a row, which is no median."""

    problem = Regression(quantiles=(0.9,))


class TestForecasting(TestRegression):
    """Two series, a row every six hours each, a day ahead."""

    problem = Forecasting(horizon=timedelta(hours=6), series="store", season=timedelta(hours=12))

    @pytest.fixture
    def labels(self) -> pd.Series:
        """Those of one store after those of the other."""
        return pd.Series([1, 2.5, 4, 0, 4, 16, 3, 12, 9, 5], index=range(3, 13), name="sales")

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """Some too high, some too low."""
        return np.array([1.5, 2.0, 3.0, 1.0, 9.0, 12.0, 3.0, 10.0, 9.5, 6.0])

    def rows(self, kind: Problem, labels: pd.Series) -> pd.DataFrame:
        """Return labels with their moment and series."""
        moments = [*pd.date_range("2026-03-01", periods=5, freq="6h", tz="UTC")] * 2
        frame = super().rows(kind, labels).assign(event_time=moments, store=["north"] * 5 + ["south"] * 5)
        return frame.assign(label_known_at=frame["event_time"] + pd.Timedelta(hours=6))


class TestForecastingOfQuantiles(TestForecasting):
    """The same with an interval."""

    problem = Forecasting(horizon="PT6H", series="store", quantiles=(0.25, 0.75))  # type: ignore[arg-type]  # as JSON

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """The lower one is what is nearest to the middle: both are as near."""
        low = np.array([1.5, 2.0, 3.0, 1.0, 9.0, 12.0, 3.0, 10.0, 9.5, 6.0])
        return np.column_stack([low, low + 3])


class TestRanking(ProblemContract):
    """Three queries of differing sizes, one of them without a relevant row."""

    problem = Ranking(group="query", at=2, item="item")

    @pytest.fixture
    def labels(self) -> pd.Series:
        """How relevant each row is."""
        return pd.Series([0, 2, 1, 0, 0, 3, 1, 0], index=range(3, 11), name="relevance")

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """Two of a query are the same."""
        return np.array([0.9, 0.2, 0.2, 0.8, 0.4, 0.1, 0.3, 0.2])

    def rows(self, kind: Problem, labels: pd.Series) -> pd.DataFrame:
        """Return the rows of the queries, one mixed with another."""
        return super().rows(kind, labels).assign(query=[*"aaabbcac"], item=[*"stustuts"])

    def weighed(self, truth: Truth) -> np.ndarray:
        """A metric is a mean over queries: it is they that have weights."""
        assert truth.group is not None
        return truth.group
