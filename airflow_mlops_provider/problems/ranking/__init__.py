"""Ranking: what of a query's rows comes first; a label is how relevant a row is, a prediction is a score to sort by."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.figures import Curve, Figure
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.source import Column
from airflow_mlops_provider.problems.base import Problem, Truth

if TYPE_CHECKING:
    import pandas as pd

    from airflow_mlops_provider.problems.base import Floats, Places


class Ranking(Problem):
    """In which order the rows of a query are to come: the higher its score, the further up a row.

    :param group: the request column whose equal values make a query: a list that somebody was shown or will be, not
        the words that were looked for. It has to be given; a query's rows are split and resampled together.
    :param at: how many of the first places count for ``ndcg``.
    :param item: the request column that names what is ranked: the naive baseline is the mean relevance that each had.
    """

    at: int = Field(default=10, ge=1)
    item: Column | None = None

    metrics = Metric("ndcg"), Metric("mean_reciprocal_rank"), Metric("mean_average_precision")
    label_type = "float64"
    answer = "score"
    required: ClassVar[tuple[str, ...]] = ("group",)
    advice: ClassVar[str] = "let the trainer give a score for each row, with LightGBM by the objective 'lambdarank'"

    @property
    def request_columns(self) -> tuple[str, ...]:
        return (*super().request_columns, *((self.item,) if self.item else ()))

    # --- labels -------------------------------------------------------------------------------------------------------

    def labels(self, label: pd.Series) -> pd.Series:
        from airflow_mlops_provider.problems.regression.labels import numbers

        return numbers(label, "how relevant a row is, is a finite number from 0 on, 0 for not at all", least=0.0)

    def learnable(self, label: pd.Series, rows: str) -> pd.Series:
        from airflow_mlops_provider.problems.regression.labels import known_numbers

        labels = known_numbers(self.labels(label), rows)
        if labels.nunique() < 2:
            raise SourceDataError(f"label {label.name!r} is the same in all rows of {rows}: there is no order")
        return labels

    def truth(
        self, rows: pd.DataFrame, label: str, weight: str | None = None, learned: pd.DataFrame | None = None
    ) -> Truth:
        """Return what scores are held against. :raises SourceDataError: if rows of a query have different weights."""
        truth = super().truth(rows, label, weight, learned)
        if weight is not None and (rows.groupby(self.group)[weight].nunique() > 1).any():
            raise SourceDataError(f"rows of one {self.group!r} differ in {weight!r}; it is queries that have weights")
        return truth

    def units(self, rows: pd.DataFrame) -> Places | None:
        """Return the number of each row's query. :raises SourceDataError: if a row has none."""
        if missing := int(rows[self.group].isna().sum()):
            raise SourceDataError(f"{missing} of {len(rows)} rows have no {self.group!r}: no list that they are in")
        return super().units(rows)

    def unjudged(self, rows: pd.DataFrame, label: str) -> dict[str, pd.Series]:
        """Return the rows of queries in which nothing is relevant: every order of these is as good."""
        relevant = (rows[label] > 0).groupby(rows[self.group]).transform("any")
        return {} if relevant.all() else {"no relevant row": rows.loc[~relevant, self.group]}

    # --- metrics ------------------------------------------------------------------------------------------------------

    def weighted(self, metric: str, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        from airflow_mlops_provider.problems.ranking.metrics import weighted

        return weighted(metric, truth, score, self.at)

    def figures(self, truth: Truth, scores: Floats) -> tuple[Figure, ...]:
        """Return how relevant what came at each place was."""
        from airflow_mlops_provider.problems.ranking.metrics import by_place

        axes = {"x": "place", "y": "mean relevance"}
        return (Curve(title="Relevance by place", **axes, lines={"model": by_place(truth, scores, self.at)}),)

    def flaw(self, truth: Truth) -> Callable[[Floats], str]:
        relevant = truth.label > 0
        return lambda weight: "" if weight[relevant].any() else f"none of {len(truth)} rows is relevant to its query"

    def unfit(self, label: Any, min_rows: int = 1) -> str:
        return super().unfit(label, min_rows) or ("" if any(value > 0 for value in label) else "no relevant row")

    def baseline(self, train: pd.DataFrame, rows: pd.DataFrame, label: str, by: str | None) -> Floats:
        """Return how relevant each row's item was on average in ``train``; without ``item``, the same for all rows.

        :param by: a column of both that is taken in place of the item.
        """
        return super().baseline(train, rows, label, by or self.item)


PROBLEM = Ranking()
