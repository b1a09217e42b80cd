"""Binary classification: a label is 0 or 1, or a truth value; a prediction is the probability of 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.figures import Curve, Figure
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.problems.base import Problem, Truth

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from airflow_mlops_provider.lifecycle.sections import Value
    from airflow_mlops_provider.problems.base import Floats

ALLOWED = "a label is 0 or 1, or a truth value, and missing while it is not known"
_CALIBRATION = "Rows in ten bins of probability, equally wide. Above the diagonal it happened more often than was said."
_NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")


class BinaryClassification(Problem):
    """Whether something is so: the label 1 means that it is."""

    metrics = Metric("roc_auc"), Metric("average_precision"), Metric("log_loss", higher_is_better=False, high=None)
    label_type = "int64"
    answer = "probability"
    buckets = tuple(step / 20 for step in range(1, 21))
    allowed = "number from 0 to 1"
    advice = "let the trainer learn a probability, with LightGBM by the objective 'binary'"

    def labels(self, label: pd.Series) -> pd.Series:
        """Return labels as int64, or Int64 where some are not known yet."""
        import numpy as np
        from pandas.api.types import infer_dtype

        values = label.astype(object).where(label.notna(), np.nan) if label.dtype.kind not in "iufb" else label
        known = values[values.notna()]
        if len(known) and (infer_dtype(known) not in _NUMBERS or not known.astype("float64").isin((0.0, 1.0)).all()):
            raise SourceDataError(f"label {label.name!r} holds {_counted(known)}; {ALLOWED}: make it so in examples")
        whole = values.astype("float64").astype("Int64")
        return whole if whole.isna().any() else whole.astype("int64")

    def learnable(self, label: pd.Series, rows: str) -> pd.Series:
        """Return labels as int64, of both classes and none missing."""
        labels = self.labels(label)
        unknown = int(labels.isna().sum())
        if unknown:
            raise SourceDataError(f"label {label.name!r} is missing in {unknown} of {len(labels)} rows of {rows}")
        if labels.nunique() < 2:
            raise SourceDataError(
                f"label {label.name!r} is {_counted(labels)} in all {len(labels)} rows of {rows}: nothing to tell "
                "apart; take more intervals, or mend what makes it in examples"
            )
        return labels

    def weighted(self, metric: str, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        from airflow_mlops_provider.problems.binary_classification.metrics import weighted

        return weighted(metric, truth.label, score)

    def flaw(self, truth: Truth) -> Callable[[Floats], str]:
        positives = truth.label == 1

        def counted(weight: Floats) -> str:
            positive = float(weight[positives].sum())
            negative = float(weight.sum()) - positive
            counts = f"the rows hold {positive:g} positive and {negative:g} negative labels"
            return "" if positive > 0 and negative > 0 else f"{counts}; both kinds are needed to judge by"

        return counted

    def unfit(self, label: Any, min_rows: int = 1) -> str:
        return super().unfit(label, min_rows) or ("" if len(set(label)) == 2 else "labels of one class only")

    def figures(self, truth: Truth, scores: Floats) -> tuple[Figure, ...]:
        """Return how often it was so among rows of about the same probability."""
        import numpy as np

        from airflow_mlops_provider.problems.binary_classification.metrics import calibration_curve

        weight = np.ones(len(truth)) if truth.weight is None else truth.weight
        points = calibration_curve(truth.label, scores, weight)
        names = {"x": "mean probability", "y": "share of positives"}
        return (Curve(title="Calibration", **names, lines={"model": points}, diagonal=True, note=_CALIBRATION),)

    def are_predictions(self, scores: Floats) -> npt.NDArray[np.bool_]:
        return (scores >= 0) & (scores <= 1)

    def decisions(self, scores: Floats) -> Floats:
        return (scores >= 0.5).astype("float64")

    def realised_value(self, value: Value, rows: pd.DataFrame, label: str) -> dict[str, Any] | None:
        """Return what alarms were worth, given wherever one pays on average."""
        if value.per_hit is None:
            return super().realised_value(value, rows, label)
        truth, alarm = self.numbers(rows[label]).to_numpy() == 1, self.scores(rows) >= value.threshold
        hits = int((alarm & truth).sum())
        false_alarms = int(alarm.sum()) - hits
        return {
            "hits": hits,
            "recall": hits / max(1, int(truth.sum())),
            "false_alarms": false_alarms,
            "amount": hits * value.per_hit - false_alarms * value.per_false_alarm,
            "currency": value.currency,
        }


def _counted(values: pd.Series) -> str:
    counts = values.map(repr).value_counts()
    shown = [f"{value:.40} ({count} times)" for value, count in counts.head(5).items()]
    return ", ".join(shown + ([f"and {len(counts) - 5} others"] if len(counts) > 5 else []))


PROBLEM = BinaryClassification()
