"""The contract of a kind of problem: its labels and metrics, what predictions look like, and what they were worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from airflow_mlops_provider.lifecycle.sections import Value
    from airflow_mlops_provider.lifecycle.source import DataType

    Floats = npt.NDArray[np.float64]

#: The column of predictions in every table that has them.
PREDICTION = "prediction"


class Problem(ABC):
    """What one kind of problem decides.

    Labels and scores are one number per row. A metric is computed with row weights, many at once: a resample is then a
    vector of counts.
    """

    metrics: ClassVar[tuple[Metric, ...]]
    label_type: ClassVar[DataType]
    #: What the model server calls the answer to a row, and the bounds at which its histogram counts answers.
    answer: ClassVar[str] = "prediction"
    buckets: ClassVar[tuple[float, ...]] = (-1e6, -1e4, -100, -1, 0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6)
    #: What a score has to be, and what to do about a model that gives others.
    allowed: ClassVar[str] = "finite number"
    advice: ClassVar[str] = "let the trainer give one for each row"

    @abstractmethod
    def labels(self, label: pd.Series) -> pd.Series:
        """Return labels as ``label_type``; those that are not known yet stay missing.

        :raises SourceDataError: with the column, the values found and what is allowed.
        """

    @abstractmethod
    def learnable(self, label: pd.Series, rows: str) -> pd.Series:
        """Return labels that a model can be trained on, none missing.

        :param rows: what messages call the rows.
        :raises SourceDataError: with the column and what was found.
        """

    @abstractmethod
    def weighted(self, metric: str, label: Floats, score: Floats) -> Callable[[Floats], Floats]:
        """Return a metric as a function of row weights, shape (resamples, rows), to one value for each resample.

        :raises DataValidationError: for labels or scores that such a metric does not take.
        """

    def are_predictions(self, scores: Floats) -> npt.NDArray[np.bool_]:
        """Say of each score whether it is one that a model may give."""
        import numpy as np

        return np.isfinite(scores)

    def checked(self, scores: Floats) -> Floats:
        """Return a model's scores. :raises ConfigurationError: if some are none, with the first of them."""
        odd = scores[~self.are_predictions(scores)]
        if len(odd):
            counts = f"{len(odd)} of {len(scores)} rows"
            raise ConfigurationError(
                f"the model gives {odd[0]} for a row, and {counts} no {self.allowed}; {self.advice}"
            )
        return scores

    def flaw(self, label: Floats) -> Callable[[Floats], str]:
        """Return a function of row weights that says why no metric can be computed with them; empty if one can."""
        return lambda weight: "" if weight.any() else f"none of {len(label)} rows is there to judge by"

    def unfit(self, label: Any, min_rows: int = 1) -> str:
        """Return why some rows are not judged by; empty if they are."""
        return f"fewer than {min_rows} rows" if len(label) < min_rows else ""

    def baseline(self, train: pd.DataFrame, rows: pd.DataFrame, label: str, by: str | None) -> np.ndarray:
        """Return the naive prediction for some rows: the mean label in ``train``, by a column's values if one is named.

        :param by: a column of both; what it holds in no training row gets the mean of all.
        """
        import numpy as np

        known = train[label]
        overall = float(known.mean())
        if by is None:
            return np.full(len(rows), overall)
        return np.asarray(rows[by].map(known.groupby(train[by]).mean()).astype("float64").fillna(overall))

    def realised_value(self, value: Value, label: pd.Series, score: pd.Series) -> dict[str, Any] | None:  # noqa: ARG002
        """Return what predictions were worth, as ``amount``, ``currency`` and what the amount is made of.

        None, by default: the declared value does not say what such a prediction is worth.
        """
        return None

    def metric(self, name: str) -> Metric:
        """Return a metric. :raises UnknownNameError: if there is none of that name; lists those that there are."""
        known = {metric.name: metric for metric in self.metrics}
        if name not in known:
            raise UnknownNameError("metric", name, known)
        return known[name]
