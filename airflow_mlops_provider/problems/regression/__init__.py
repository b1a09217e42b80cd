"""Regression: a label is how much something is, any finite number; so is a prediction, or several, one a quantile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.figures import Curve, Figure
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.problems.base import PREDICTION, Problem, Truth

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from airflow_mlops_provider.problems.base import Floats

_ERRORS = (
    Metric("mean_absolute_error", higher_is_better=False, high=None),
    Metric("root_mean_squared_error", higher_is_better=False, high=None),
    Metric("r2", low=None),
    Metric("mean_absolute_percentage_error", higher_is_better=False, high=None),
    Metric("median_absolute_error", higher_is_better=False, high=None),
)
_DEVIANCE = Metric("mean_poisson_deviance", higher_is_better=False, high=None)
_PINBALL = Metric("pinball_loss", higher_is_better=False, high=None)
_OF_INTERVALS = Metric("coverage"), Metric("interval_score", higher_is_better=False, high=None)
_TENTHS = "A dot for each tenth of the rows, in the order of what was predicted. Above the diagonal it was more."
_BELOW = "Above the diagonal labels were below the quantile more often than it says."
#: By which metric a model is judged, if nothing is said: the one whose best prediction is what the loss lets it learn
#: (Gneiting, "Making and evaluating point forecasts", Journal of the American Statistical Association 106(494), 2011).
_JUDGED_BY = {
    "squared": "root_mean_squared_error",
    "absolute": "mean_absolute_error",
    "poisson": "mean_poisson_deviance",
}


class Regression(Problem):
    """How much something is.

    :param loss: what the trainer makes small: it decides by which metric models are judged, if nothing is said, and
        what the naive baseline predicts. ``squared``: the mean; ``absolute``: the median; ``poisson``: the mean of
        counts, labels from 0 on and predictions above it.
    :param quantiles: between 0 and 1, in order: a model gives for each the value below which the label lies with that
        chance. Values of a row that cross are put in order. The one nearest to 0.5 is what is predicted; the outermost
        two are the ends of an interval.
    """

    loss: Literal["squared", "absolute", "poisson"] = "squared"
    quantiles: tuple[float, ...] = ()

    metrics: ClassVar[tuple[Metric, ...]] = (*_ERRORS, _DEVIANCE, _PINBALL, *_OF_INTERVALS)
    label_type = "float64"
    allowed: ClassVar[str] = "finite number, above 0 where the loss is poisson"
    advice: ClassVar[str] = (
        "let the trainer learn one for each row and quantile; of counts by its library's poisson objective"
    )

    @model_validator(mode="after")
    def _quantiles_fit(self) -> Self:
        if list(self.quantiles) != sorted(set(self.quantiles)) or not all(0 < part < 1 for part in self.quantiles):
            raise ValueError(f"quantiles lie between 0 and 1, each above the one before it; given: {self.quantiles}")
        if self.quantiles and self.loss == "poisson":
            raise ValueError("quantiles are learned by a loss of their own: declare either them or the loss poisson")
        return self

    # --- labels -------------------------------------------------------------------------------------------------------

    def labels(self, label: pd.Series) -> pd.Series:
        from airflow_mlops_provider.problems.regression.labels import numbers

        if self.loss == "poisson":
            return numbers(label, "of the loss poisson it is a finite number from 0 on", least=0.0)
        return numbers(label, "it is a finite number")

    def learnable(self, label: pd.Series, rows: str) -> pd.Series:
        from airflow_mlops_provider.problems.regression.labels import known_numbers

        labels = known_numbers(self.labels(label), rows)
        if self.loss == "poisson" and not labels.any():
            raise SourceDataError(f"label {label.name!r} is 0 in all {len(labels)} rows of {rows}: nothing was counted")
        return labels

    # --- metrics ------------------------------------------------------------------------------------------------------

    @property
    def available_metrics(self) -> tuple[Metric, ...]:
        if self.quantiles:
            return (_PINBALL, *(_OF_INTERVALS if len(self.quantiles) > 1 else ()), *_ERRORS)
        known = (*_ERRORS, _DEVIANCE) if self.loss == "poisson" else _ERRORS
        return tuple(sorted(known, key=lambda metric: metric.name != _JUDGED_BY[self.loss]))

    def weighted(self, metric: str, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        from airflow_mlops_provider.problems.regression import metrics

        if metric in {_PINBALL.name, *(known.name for known in _OF_INTERVALS)}:
            return metrics.of_quantiles(metric, truth.label, score.reshape(len(score), -1), self.quantiles)
        return metrics.weighted(metric, truth.label, self.decisions(score))

    def figures(self, truth: Truth, scores: Floats) -> tuple[Figure, ...]:
        """Return how high labels were where predictions were low or high; and how often they were below quantiles."""
        from airflow_mlops_provider.problems.regression.metrics import by_tenth, shares_below

        weight = truth.weights
        points = by_tenth(truth.label, self.decisions(scores), weight)
        axes = {"x": "mean prediction", "y": "mean label"}
        shown = Curve(title="Predicted and actual", **axes, lines={"model": points}, diagonal=True, note=_TENTHS)
        if not self.quantiles:
            return (shown,)
        points = shares_below(truth.label, scores, self.quantiles, weight)
        axes = {"x": "quantile", "y": "share of labels below"}
        return shown, Curve(title="Calibration", **axes, lines={"model": points}, diagonal=True, note=_BELOW)

    @property
    def calibrates(self) -> bool:
        return bool(self.quantiles)

    def calibration(self, truth: Truth, scores: Floats) -> float:
        """Return how far the shares of labels below quantiles, and between the outermost two, are from what is said.

        The largest of these distances: quantiles are calibrated if their levels are the shares below them (Gneiting,
        Balabdaoui and Raftery, "Probabilistic forecasts, calibration and sharpness", Journal of the Royal Statistical
        Society B 69(2), 2007, section 2), and an interval if it holds as many as it says.
        """
        from airflow_mlops_provider.problems.regression.metrics import shares_below

        levels = self.quantiles
        apart = [abs(level - share) for level, share in shares_below(truth.label, scores, levels, truth.weights)]
        if len(levels) > 1:
            coverage = float(self.weighted("coverage", truth, scores)(truth.weights[None, :])[0])
            apart.append(abs(coverage - (levels[-1] - levels[0])))
        return max(apart)

    def baseline(self, train: pd.DataFrame, rows: pd.DataFrame, label: str, by: str | None) -> Floats:
        """Return naive scores for some rows: of the labels in ``train`` what the loss or the quantiles ask for.

        :param by: a column of both by whose values that is done; what it holds in no training row gets that of all. A
            group without any count is given a share of one more row, whose count is the mean of all.
        """
        import numpy as np

        known = train[label].astype("float64")
        levels = self.quantiles or (0.5 if self.loss == "absolute" else None,)
        columns = []
        for level in levels:
            overall = known.mean() if level is None else known.quantile(level)
            naive = np.full(len(rows), float(overall))
            if by is not None:
                groups = known.groupby(train[by])
                own = groups.mean() if level is None else groups.quantile(level)
                own = own.where(own > 0, overall / (groups.size() + 1)) if self.loss == "poisson" else own
                naive = np.asarray(rows[by].map(own).astype("float64").fillna(overall))
            columns.append(naive)
        return np.column_stack(columns) if len(columns) > 1 else columns[0]

    # --- predictions --------------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"quantile_{name}" for name in self._names) or (PREDICTION,)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(map(str, self.quantiles))

    @property
    def _middle(self) -> int:
        return min(range(len(self.quantiles)), key=lambda at: abs(self.quantiles[at] - 0.5))

    def are_predictions(self, scores: Floats) -> npt.NDArray[np.bool_]:
        fit = super().are_predictions(scores)
        return fit & (scores > 0) if self.loss == "poisson" else fit

    def completed(self, scores: Floats) -> Floats:
        """Return a model's scores, those of a row in order.

        Quantiles in order are never worse than the same ones crossed (Chernozhukov, Fernández-Val and Galichon,
        "Quantile and probability curves without crossing", Econometrica 78(3), 2010).
        """
        import numpy as np

        scores = super().completed(scores)
        return np.sort(scores, axis=1) if self.quantiles and scores.ndim == 2 else scores

    def decisions(self, scores: Floats) -> Floats:
        return scores[:, self._middle] if scores.ndim == 2 else scores

    def headline(self, scores: Floats) -> Floats:
        return self.decisions(scores)

    def columns(self, scores: Floats) -> dict[str, Any]:
        table = scores.reshape(len(scores), -1)
        parts = dict(zip(self.outputs, table.T, strict=True)) if self.quantiles else {}
        return {PREDICTION: self.decisions(scores), **parts}

    @property
    def answer_fields(self) -> dict[str, Any]:
        if not self.quantiles:
            return super().answer_fields
        from typing_extensions import TypedDict

        quantiles: Any = TypedDict("Quantiles", dict.fromkeys(self._names, float))  # type: ignore[misc]  # made here
        return {**super().answer_fields, "quantiles": quantiles}

    def answers(self, scores: Floats) -> list[dict[str, Any]]:
        said = super().answers(self.decisions(scores))
        if not self.quantiles:
            return said
        table = scores.reshape(len(scores), -1).tolist()
        named = ({"quantiles": dict(zip(self._names, row, strict=True))} for row in table)
        return [{**answer, **more} for answer, more in zip(said, named, strict=True)]


PROBLEM = Regression()
