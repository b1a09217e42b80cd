"""Anomaly detection: a prediction is how odd a row is, any number; whether it was one is known late, or of few rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.figures import Curve, Figure
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.problems.base import Truth
from airflow_mlops_provider.problems.two_classes import TwoClasses

if TYPE_CHECKING:
    import pandas as pd

    from airflow_mlops_provider.lifecycle.sections import Value
    from airflow_mlops_provider.problems.base import Floats

_NO_THRESHOLD = "from which score on a row is an anomaly nobody declares: AnomalyDetection(threshold=…)"
_ALERTS = "What share of alerts would be right if so many of the oddest rows raised one."


class AnomalyDetection(TwoClasses):
    """How odd something is: the higher a score, the odder. The label 1 means that it was an anomaly.

    A model learns from all rows of its window, labelled or not: a trainer is given labels of which those that are not
    known are NaN. It is judged on rows whose label is known.

    :param alert_rate: the share of rows, those of the highest scores, of which ``precision_at_alert_rate`` is.
    :param threshold: the score from which a row is an anomaly; None where nobody decides.
    """

    alert_rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    threshold: float | None = None

    metrics = Metric("average_precision"), Metric("roc_auc"), Metric("precision_at_alert_rate")
    learns_without_labels = True
    without_labels = (
        "nothing can be judged without: wait for labels to arrive, or let people label a sample of these rows, the "
        "oddest and some others, in a table that label.truth names"
    )
    answer = "score"
    advice = "let the trainer give one for each row, the higher the odder it is"

    def learnable(self, label: pd.Series, rows: str) -> pd.Series:  # noqa: ARG002  # there is nothing to refuse
        """Return labels as int64, or Int64 where some are not known; none has to be."""
        return self.labels(label)

    def numbers(self, label: pd.Series) -> pd.Series:
        """Return labels as float64, NaN where they are not known."""
        return label.astype("float64")

    def weighted(self, metric: str, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        from airflow_mlops_provider.problems.anomaly_detection.metrics import weighted

        return weighted(metric, truth.label, score, self.alert_rate)

    def baseline(self, train: pd.DataFrame, rows: pd.DataFrame, label: str, by: str | None) -> Floats:
        """Return the share of anomalies among labelled rows, by a column's values if one is named; 0 without labels.

        The average precision of what is the same for all rows is the share of anomalies among these.
        """
        import numpy as np

        if not train[label].notna().any():
            return np.zeros(len(rows))
        return super().baseline(train, rows, label, by)

    def figures(self, truth: Truth, scores: Floats) -> tuple[Figure, ...]:
        """Return how precise alerts would be, by how many there are."""
        from airflow_mlops_provider.problems.anomaly_detection.metrics import precision_by_rate

        lines = {"model": precision_by_rate(truth.label, scores, truth.weight)}
        return (Curve(title="Precision by alert rate", x="alert rate", y="precision", lines=lines, note=_ALERTS),)

    def decisions(self, scores: Floats) -> Floats:
        """Return which rows are anomalies. :raises ConfigurationError: if no threshold is declared."""
        if self.threshold is None:
            raise ConfigurationError(_NO_THRESHOLD)
        return (scores >= self.threshold).astype("float64")

    @property
    def decides(self) -> bool:
        return self.threshold is not None

    @property
    def answer_fields(self) -> dict[str, Any]:
        return super().answer_fields | ({} if self.threshold is None else {"anomaly": bool})

    def answers(self, scores: Floats) -> list[dict[str, Any]]:
        plain = super().answers(scores)
        if self.threshold is None:
            return plain
        decided = (self.decisions(scores) == 1).tolist()
        return [{**said, "anomaly": value} for said, value in zip(plain, decided, strict=True)]

    def worthless(self, value: Value) -> str:
        decided = value.function or self.threshold is not None
        return super().worthless(value) or ("" if decided else f"value is of decisions, and {_NO_THRESHOLD}")

    def realised_value(self, value: Value, rows: pd.DataFrame, label: str) -> dict[str, Any] | None:
        """Return what alarms were worth, given from the threshold on."""
        if value.per_hit is None or self.worthless(value):
            return super().realised_value(value, rows, label)
        return self.worth_of_alarms(value, rows, label, self.decisions(self.scores(rows)) == 1)


PROBLEM = AnomalyDetection()
