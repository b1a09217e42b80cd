"""Forecasting: how much something will be some time ahead; judged by blocks of time, against what was a season ago."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.figures import Curve, Figure
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.source import EVENT_TIME, Column
from airflow_mlops_provider.problems.base import Truth
from airflow_mlops_provider.problems.regression import Regression

if TYPE_CHECKING:
    import pandas as pd

    from airflow_mlops_provider.lifecycle.shape import Shape
    from airflow_mlops_provider.problems.base import Floats, Places

_BLOCKS = "A block is what is resampled as a whole: four horizons or a season, if there is time for twenty."
_SCALED = "mean_absolute_scaled_error"
_RELATIVE = (
    Metric(_SCALED, higher_is_better=False, high=None),
    Metric("weighted_absolute_percentage_error", higher_is_better=False, high=None),
    Metric("symmetric_mean_absolute_percentage_error", higher_is_better=False, high=2.0),
)


class Forecasting(Regression):
    """How much something will be, some time ahead of the moment at which that is predicted.

    A row is a moment and a series; its label is the value ``horizon`` later, and is known then at the earliest. The
    naive baseline is the label of the same series that was known last a season, or several, before; without such a one
    the label that was known last; without any the mean.

    :param horizon: how far ahead. It has to be given.
    :param horizons: the request column that says how many horizons ahead a row's value lies, where that differs; the
        evaluation is then broken down by it.
    :param series: the request column that names the series; None for a single one.
    :param season: after how long values repeat themselves, such as a week.
    :param naive: the request column that holds a naive forecast, in place of what is looked up among the labels.
    :param time: the column of the moment of prediction.
    :param known_at: the column that says when a label became known, where rows have one.
    """

    loss: Literal["squared", "absolute", "poisson"] = "absolute"
    horizon: timedelta | None = None
    horizons: Column | None = None
    series: Column | None = None
    season: timedelta | None = None
    naive: Column | None = None
    time: Column = EVENT_TIME
    known_at: Column = "label_known_at"

    metrics = (*Regression.metrics, *_RELATIVE)
    required: ClassVar[tuple[str, ...]] = ("horizon",)

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        spans = {"horizon": self.horizon, "season": self.season}
        if wrong := [name for name, span in spans.items() if span is not None and span <= timedelta(0)]:
            raise ValueError(f"{wrong[0]} is {spans[wrong[0]]}, and has to be above 0")
        if self.group is not None:
            raise ValueError("forecasts are split by time, and resampled by blocks of it: declare series, and no group")
        return self

    @property
    def available_metrics(self) -> tuple[Metric, ...]:
        return (*super().available_metrics, *_RELATIVE)

    @property
    def slices(self) -> tuple[str, ...]:
        return (self.horizons,) if self.horizons else ()

    @property
    def request_columns(self) -> tuple[str, ...]:
        return tuple(name for name in (self.series, self.horizons, self.naive) if name)

    def check_product(self, shape: Shape, metric: Metric) -> None:
        super().check_product(shape, metric)
        if metric.name == _SCALED and metric.code is None and self.naive is None:
            raise ValueError(
                f"monitoring does not know the values before its rows, by which {_SCALED} measures: name a request "
                "column that holds a naive forecast, Forecasting(naive=…), or another metric"
            )
        if self.known_at != shape.label.known_at:
            raise ValueError(
                f"the label is known at {shape.label.known_at!r}, and the problem says {self.known_at!r}: declare "
                f"Forecasting(known_at={shape.label.known_at!r})"
            )

    # --- time ---------------------------------------------------------------------------------------------------------

    def ahead(self, rows: pd.DataFrame) -> pd.Series:
        """Return how far ahead of its moment each row's value lies."""
        import pandas as pd

        assert self.horizon is not None  # it is required
        if self.horizons is None:
            return pd.Series(pd.Timedelta(self.horizon), index=rows.index)
        return rows[self.horizons].astype("float64") * pd.Timedelta(self.horizon)

    def label_times(self, rows: pd.DataFrame) -> pd.Series:
        import pandas as pd

        return pd.to_datetime(self._times(rows), utc=True) + self.ahead(rows)

    def units(self, rows: pd.DataFrame) -> Places:
        """Return the number of each row's block of time, of all series together: rows of a block are resampled as such.

        Errors of nearby moments are alike, and of moments within a horizon they are of the same future. See
        :mod:`.blocks`.
        """
        from airflow_mlops_provider.problems.forecasting import blocks

        return blocks.numbered(self._times(rows), self.ahead(rows), self.season)

    def _times(self, rows: pd.DataFrame) -> pd.Series:
        if self.time not in rows.columns:
            raise SourceDataError(f"no column {self.time!r}, the moment of prediction; name it: Forecasting(time=…)")
        if rows[self.time].dtype.kind != "M":
            raise SourceDataError(f"column {self.time!r} is {rows[self.time].dtype}; forecasts need moments there")
        return rows[self.time]

    # --- metrics ------------------------------------------------------------------------------------------------------

    def truth(
        self, rows: pd.DataFrame, label: str, weight: str | None = None, learned: pd.DataFrame | None = None
    ) -> Truth:
        """Return labels, blocks of time, and for each row how large the errors of naive forecasts of its series are.

        :param learned: the rows in which that is measured; None for the judged rows themselves.
        """
        from dataclasses import replace

        from airflow_mlops_provider.problems.forecasting.naive import scales

        truth = super().truth(rows, label, weight)
        return replace(truth, scale=scales(self, rows, rows if learned is None else learned, label))

    def weighted(self, metric: str, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        from airflow_mlops_provider.problems.forecasting import metrics

        if metric in {known.name for known in _RELATIVE}:
            return metrics.weighted(metric, truth, self.decisions(score))
        return super().weighted(metric, truth, score)

    def figures(self, truth: Truth, scores: Floats) -> tuple[Figure, ...]:
        """Return what is shown of amounts, and how large errors were over time."""
        from airflow_mlops_provider.problems.forecasting.metrics import over_time

        lines = {"model": over_time(truth, self.decisions(scores))}
        axes = {"x": "block of time, from the first on", "y": "mean absolute error"}
        return *super().figures(truth, scores), Curve(title="Errors over time", **axes, lines=lines, note=_BLOCKS)

    def baseline(self, train: pd.DataFrame, rows: pd.DataFrame, label: str, by: str | None) -> Floats:
        """Return naive forecasts, each of labels that were known by its moment; of quantiles, with their usual errors.

        Labels among ``rows``, which lie before others of them, count as well.

        :param by: a column of both: the forecasts are then what :class:`.Regression` makes of its values.
        """
        from airflow_mlops_provider.problems.forecasting.naive import forecasts

        if by:
            return super().baseline(train, rows, label, by)
        self.check_columns(rows)
        return forecasts(self, train, rows, label)


PROBLEM = Forecasting()
