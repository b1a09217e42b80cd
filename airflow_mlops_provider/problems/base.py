"""The contract of a kind of problem: its labels and metrics, what predictions look like, and what they were worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, UnknownNameError
from airflow_mlops_provider.lifecycle.figures import Figure
from airflow_mlops_provider.lifecycle.frozen import only_known
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.source import Column
from airflow_mlops_provider.problems.predictions import PREDICTION as PREDICTION  # noqa: PLC0414  # part of the contract
from airflow_mlops_provider.problems.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from airflow_mlops_provider.lifecycle.sections import Value
    from airflow_mlops_provider.lifecycle.shape import Shape
    from airflow_mlops_provider.lifecycle.source import DataType

    Floats = npt.NDArray[np.float64]
    Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Truth:
    """What the predictions for some rows are held against.

    :param label: the labels as numbers, shape (rows,), or (rows, labels) where a row has several.
    :param group: the number of each row's group, from 0 on; rows of a group are resampled together. None for none.
    :param weight: how much each row counts; None for all the same.
    :param scale: how large an error of each row would be without a model, for metrics that measure by that.
    """

    label: Floats
    group: Places | None = None
    weight: Floats | None = None
    scale: Floats | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def weights(self) -> Floats:
        """How much each row counts: 1 where nobody says it."""
        import numpy as np

        return np.ones(len(self)) if self.weight is None else self.weight

    def part(self, rows: Any) -> Truth:
        """Return that of some of the rows."""
        parts = (None if values is None else values[rows] for values in (self.group, self.weight, self.scale))
        return Truth(self.label[rows], *parts)


class Problem(Predictions, ABC):
    """What one kind of problem decides; its fields are its options.

    A row has one label and one score, a number each, or as many scores as there are :attr:`outputs`. A metric is
    computed with row weights, many at once: a resample is then a vector of counts.

    :param group: the request column whose equal values belong together, such as a customer or a query: its rows are
        split and resampled together.
    """

    model_config = ConfigDict(extra="forbid")

    kind: str = ""
    group: Column | None = None

    #: Whether rows without a known label are learned from as well; judged is on those that have one.
    learns_without_labels: ClassVar[bool] = False
    #: What to do where no label of the rows to judge on is known.
    without_labels: ClassVar[str] = "wait for labels to arrive"
    metrics: ClassVar[tuple[Metric, ...]]
    #: The options without which nothing can be done.
    required: ClassVar[tuple[str, ...]] = ()
    label_type: ClassVar[DataType]

    # --- labels -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def labels(self, label: pd.Series) -> pd.Series:
        """Return labels as ``label_type``; those that are not known yet stay missing.

        :raises SourceDataError: with the column, the values found and what is allowed.
        """

    @abstractmethod
    def learnable(self, label: pd.Series, rows: str) -> pd.Series:
        """Return labels that a model can be trained on, none missing unless it :attr:`learns_without_labels`.

        :param rows: what messages call the rows.
        :raises SourceDataError: with the column and what was found.
        """

    def numbers(self, label: pd.Series) -> pd.Series | pd.DataFrame:
        """Return known labels as the numbers that trainers and metrics are given; of classes, their places.

        Where a row has several labels that is a column of 0 and 1 for each.
        """
        return label

    def training_weights(
        self,
        label: pd.Series,  # noqa: ARG002  # a kind that balances classes counts them
        weight: pd.Series | None,
    ) -> pd.Series | None:
        """Return how much each row counts in training; None if all count the same.

        :param weight: what the product declares of it.
        """
        return weight

    def truth(
        self, rows: pd.DataFrame, label: str, weight: str | None = None, learned: pd.DataFrame | None = None
    ) -> Truth:
        """Return what predictions for some rows are held against.

        :param label, weight: columns of the rows; none of the labels is missing.
        :param learned: the rows that models learned from, where they are at hand.
        """
        del learned
        self.check_columns(rows)
        import numpy as np

        known = self.numbers(rows[label]).to_numpy("float64")
        return Truth(known, self.units(rows), None if weight is None else np.asarray(rows[weight], dtype="float64"))

    def units(self, rows: pd.DataFrame) -> Places | None:
        """Return the number of what each row belongs to, from 0 on, where rows are not independent; else None."""
        import pandas as pd

        return None if self.group is None else pd.factorize(rows[self.group], use_na_sentinel=False)[0]

    @property
    def request_columns(self) -> tuple[str, ...]:
        """The columns that the options name, which a caller gives with each row."""
        return (self.group,) if self.group else ()

    def check_product(self, shape: Shape, metric: Metric) -> None:  # noqa: ARG002  # some can't always be computed
        """:raises ValueError: if the options do not go with a product's columns, or with the metric it is judged by."""
        only_known(f"column of the problem {self}", self.request_columns, shape.row_columns)

    def check_columns(self, rows: pd.DataFrame) -> None:
        """:raises SourceDataError: if rows have no column that the options name."""
        if missing := [name for name in self.request_columns if name not in rows.columns]:
            known = ", ".join(map(str, rows.columns))
            raise SourceDataError(f"no column {missing[0]!r}, which the problem {self} names; there are: {known}")

    def label_times(self, rows: pd.DataFrame) -> pd.Series | None:  # noqa: ARG002  # for kinds that look ahead
        """Return of when the label of each row is; None if it is of the row's own time."""
        return None

    def known_from(self, rows: pd.DataFrame, known_at: str) -> pd.Series:
        """Return from when on each label can be known: not before its time, later if a column says so.

        What is not known yet stays missing.
        """
        import pandas as pd

        own = self.label_times(rows)
        if own is None:
            return rows[known_at]
        known = pd.to_datetime(rows[known_at], utc=True)
        return known.where(known.isna() | (known > own), own)

    def unjudged(self, rows: pd.DataFrame, label: str) -> dict[str, pd.Series]:
        """Return which rows are not judged by, by reason: the values of a column that names them."""
        del rows, label
        return {}

    # --- metrics ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def weighted(self, metric: str, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        """Return a metric as a function of row weights, shape (resamples, rows), to one value for each resample.

        :raises DataValidationError: for labels or scores that such a metric does not take.
        """

    def values(self, metric: Metric, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        """Return a metric, also one of the user's own, as :meth:`weighted` does."""
        if metric.code is None:
            return self.weighted(metric.name, truth, score)
        from airflow_mlops_provider.problems.own_metric import weighted

        return weighted(metric, truth.label, score if metric.takes == "scores" else self.decisions(score))

    @property
    def available_metrics(self) -> tuple[Metric, ...]:
        """The metrics that go with the options. The first is the one to judge by, if nothing is said."""
        return self.metrics

    @property
    def slices(self) -> tuple[str, ...]:
        """The request columns by which an evaluation is broken down in any case."""
        return ()

    def metric(self, name: str | Metric | None = None) -> Metric:
        """Return a metric, by default the first. :raises UnknownNameError: if there is none of that name; lists all."""
        if isinstance(name, Metric) and name.code:
            return name
        known = {metric.name: metric for metric in self.available_metrics}
        wanted = next(iter(known)) if name is None else str(getattr(name, "name", name))
        if wanted not in known:
            raise UnknownNameError("metric", wanted, known)
        return known[wanted]

    def flaw(self, truth: Truth) -> Callable[[Floats], str]:
        """Return a function of row weights that says why no metric can be computed with them; empty if one can."""
        return lambda weight: "" if weight.any() else f"none of {len(truth)} rows is there to judge by"

    def unfit(self, label: Any, min_rows: int = 1) -> str:
        """Return why rows with some known labels are not judged by; empty if they are."""
        return f"fewer than {min_rows} rows" if len(label) < min_rows else ""

    def baseline(self, train: pd.DataFrame, rows: pd.DataFrame, label: str, by: str | None) -> Floats:
        """Return naive scores for some rows: the mean label in ``train``, by a column's values if one is named.

        :param by: a column of both; what it holds in no training row gets the mean of all.
        """
        import numpy as np

        known = self.numbers(train[label]).astype("float64")
        overall = float(known.mean())
        if by is None:
            return np.full(len(rows), overall)
        return np.asarray(rows[by].map(known.groupby(train[by]).mean()).astype("float64").fillna(overall))

    def figures(self, truth: Truth, scores: Floats) -> tuple[Figure, ...]:  # noqa: ARG002  # some show none
        """Return what a page shows of predictions beside their metric, such as which classes are confused."""
        return ()

    @property
    def decides(self) -> bool:
        """Whether it is said of a row that something is so, or which of several classes it is."""
        return False

    def said(self, scores: Floats) -> Floats:
        """Return 1 where something is said to be so of a row, else 0, of each class or label one column."""
        return self.decisions(scores).reshape(len(scores), -1)

    @property
    def calibrates(self) -> bool:
        """Whether scores say how often something is so, and can be held against how often it was."""
        return False

    def calibration(self, truth: Truth, scores: Floats) -> float:
        """Return how far that is apart, from 0 to 1."""
        raise NotImplementedError

    # --- value --------------------------------------------------------------------------------------------------------

    @property
    def class_names(self) -> tuple[str, ...]:
        """What a matrix of values calls true and predicted classes; empty where it may call them anything."""
        return ()

    def worthless(self, value: Value) -> str:
        """Return why a declared value does not say what such predictions are worth; empty if it does."""
        matrix = value.matrix or {}
        known = self.class_names
        unknown = sorted({*matrix, *(said for row in matrix.values() for said in row)} - {*known})
        if not known or not unknown:
            return ""
        return f"value.matrix names {', '.join(map(repr, unknown))}; classes are {', '.join(map(repr, known))}"

    def outcomes(self, rows: pd.DataFrame, label: str) -> tuple[pd.Series, pd.Series]:
        """Return the true and the predicted class of each row, as a matrix of values names them."""
        return self.labels(rows[label]).astype(str), rows[PREDICTION].astype(str)

    def realised_value(self, value: Value, rows: pd.DataFrame, label: str) -> dict[str, Any] | None:
        """Return what predictions were worth, as ``amount``, ``currency`` and what the amount is made of.

        None where the declared value does not say what such a prediction is worth.

        :param rows: the columns of the predictions, and their label; none is missing.
        :raises ConfigurationError: if it says it of classes that there are not.
        """
        from airflow_mlops_provider.problems.worth import by_class, by_function

        if why := self.worthless(value):
            raise ConfigurationError(why)
        if value.function:
            amounts = by_function(value.function, rows)
        elif value.matrix:
            amounts = by_class(value.matrix, *self.outcomes(rows, label))
        else:
            return None
        return {"rows": len(rows), "amount": float(amounts.sum()), "currency": value.currency}
