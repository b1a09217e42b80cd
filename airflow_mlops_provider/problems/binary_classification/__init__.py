"""Binary classification: a label is 0 or 1, or a truth value; a prediction is the probability of 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from airflow_mlops_provider.lifecycle.figures import Curve, Figure
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.problems.base import Truth
from airflow_mlops_provider.problems.labels import balanced
from airflow_mlops_provider.problems.two_classes import TwoClasses

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from airflow_mlops_provider.lifecycle.sections import Value
    from airflow_mlops_provider.problems.base import Floats

_CALIBRATION = "Rows in ten bins of probability, equally wide. Above the diagonal it happened more often than was said."


class BinaryClassification(TwoClasses):
    """Whether something is so: the label 1 means that it is.

    :param threshold: the probability from which it is decided that it is, for metrics of decisions.
    :param balance: whether both classes count the same in training, however rare one is: a trainer is given weights
        inverse to the classes' frequencies, times those that the label declares. Probabilities are then too high for
        the rarer class; calibrate them, or choose a threshold.
    """

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    balance: bool = False

    metrics = (
        Metric("roc_auc"),
        Metric("average_precision"),
        Metric("log_loss", higher_is_better=False, high=None),
        Metric("brier_score", higher_is_better=False),
        Metric("calibration_error", higher_is_better=False),
        Metric("precision"),
        Metric("recall"),
        Metric("f1"),
        Metric("balanced_accuracy"),
        Metric("matthews_correlation", low=-1.0),
    )
    answer = "probability"
    buckets = tuple(step / 20 for step in range(1, 21))
    allowed = "number from 0 to 1"
    advice = "let the trainer learn a probability, with LightGBM by the objective 'binary'"

    def weighted(self, metric: str, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        from airflow_mlops_provider.problems.binary_classification.metrics import weighted

        return weighted(metric, truth.label, score, self.threshold)

    def training_weights(self, label: pd.Series, weight: pd.Series | None) -> pd.Series | None:
        return balanced(self.labels(label), weight) if self.balance else weight

    def figures(self, truth: Truth, scores: Floats) -> tuple[Figure, ...]:
        """Return how often it was so among rows of about the same probability."""
        from airflow_mlops_provider.problems.binary_classification.metrics import calibration_curve

        points = calibration_curve(truth.label, scores, truth.weights)
        names = {"x": "mean probability", "y": "share of positives"}
        return (Curve(title="Calibration", **names, lines={"model": points}, diagonal=True, note=_CALIBRATION),)

    @property
    def calibrates(self) -> bool:
        return True

    def calibration(self, truth: Truth, scores: Floats) -> float:
        """Return the expected calibration error of ten equally wide bins; for its source see the metric."""
        return float(self.weighted("calibration_error", truth, scores)(truth.weights[None, :])[0])

    def are_predictions(self, scores: Floats) -> npt.NDArray[np.bool_]:
        return (scores >= 0) & (scores <= 1)

    def decisions(self, scores: Floats) -> Floats:
        return (scores >= self.threshold).astype("float64")

    def realised_value(self, value: Value, rows: pd.DataFrame, label: str) -> dict[str, Any] | None:
        """Return what alarms were worth, given wherever one pays on average."""
        if value.per_hit is None:
            return super().realised_value(value, rows, label)
        return self.worth_of_alarms(value, rows, label, self.scores(rows) >= value.threshold)


PROBLEM = BinaryClassification()
