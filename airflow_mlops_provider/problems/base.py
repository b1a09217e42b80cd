"""The contract of a kind of problem: its labels and metrics, what predictions look like, and what they were worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.figures import Figure
from airflow_mlops_provider.lifecycle.problem import Metric, ProblemDeclaration
from airflow_mlops_provider.lifecycle.source import Column

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from airflow_mlops_provider.lifecycle.sections import Value
    from airflow_mlops_provider.lifecycle.source import DataType

    Floats = npt.NDArray[np.float64]
    Places = npt.NDArray[np.intp]

#: The column of predictions in every table that has them.
PREDICTION = "prediction"


@dataclass(frozen=True)
class Truth:
    """What the predictions for some rows are held against.

    :param label: the labels as numbers, shape (rows,), or (rows, labels) where a row has several.
    :param group: the number of each row's group, from 0 on; rows of a group are resampled together. None for none.
    :param weight: how much each row counts; None for all the same.
    """

    label: Floats
    group: Places | None = None
    weight: Floats | None = None

    def __len__(self) -> int:
        return len(self.label)

    def part(self, rows: Any) -> Truth:
        """Return that of some of the rows."""
        group, weight = (values if values is None else values[rows] for values in (self.group, self.weight))
        return Truth(self.label[rows], group, weight)


class Problem(ProblemDeclaration, ABC):
    """What one kind of problem decides; its fields are its options.

    A row has one label and one score, a number each, or as many scores as there are :attr:`outputs`. A metric is
    computed with row weights, many at once: a resample is then a vector of counts.

    :param group: the request column whose equal values belong together, such as a customer or a query: its rows are
        split and resampled together.
    """

    model_config = ConfigDict(extra="forbid")

    kind: str = ""
    group: Column | None = None

    #: Whether rows whose label is not known are learned from as well; judged is on those whose label is.
    learns_without_labels: ClassVar[bool] = False
    #: What to do where no label of the rows to judge on is known.
    without_labels: ClassVar[str] = "wait for labels to arrive"
    #: The first is the one to judge by, if nothing is said.
    metrics: ClassVar[tuple[Metric, ...]]
    label_type: ClassVar[DataType]
    #: What the model server calls the answer to a row, and the bounds at which its histogram counts answers.
    answer: ClassVar[str] = "prediction"
    buckets: ClassVar[tuple[float, ...]] = (-1e6, -1e4, -100, -1, 0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6)
    #: What a score has to be, and what to do about a model that gives others.
    allowed: ClassVar[str] = "finite number"
    advice: ClassVar[str] = "let the trainer give one for each row"

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

    @property
    def trainer_takes(self) -> tuple[str, ...]:
        """The parameters that a trainer has to have, for the options to mean something."""
        return ()

    def training_weights(
        self,
        label: pd.Series,  # noqa: ARG002  # a kind that balances classes counts them
        weight: pd.Series | None,
    ) -> pd.Series | None:
        """Return how much each row counts in training; None if all count the same.

        :param weight: what the product declares of it.
        """
        return weight

    def truth(self, rows: pd.DataFrame, label: str, weight: str | None = None) -> Truth:
        """Return what predictions for some rows are held against.

        :param label, weight: columns of the rows; none of the labels is missing.
        """
        import numpy as np

        known = self.numbers(rows[label]).to_numpy("float64")
        return Truth(known, self.units(rows), None if weight is None else np.asarray(rows[weight], dtype="float64"))

    def units(self, rows: pd.DataFrame) -> Places | None:
        """Return the number of what each row belongs to, from 0 on, where rows are not independent; else None."""
        import pandas as pd

        return None if self.group is None else pd.factorize(rows[self.group], use_na_sentinel=False)[0]

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

    def metric(self, name: str | Metric | None = None) -> Metric:
        """Return a metric, by default the first. :raises UnknownNameError: if there is none of that name; lists all."""
        if isinstance(name, Metric) and name.code:
            return name
        known = {metric.name: metric for metric in self.metrics}
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

    # --- predictions --------------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns of the scores that a model gives for a row, in its order."""
        return (PREDICTION,)

    def are_predictions(self, scores: Floats) -> npt.NDArray[np.bool_]:
        """Say of each row's scores whether they are such as a model may give."""
        import numpy as np

        return np.asarray(np.isfinite(scores).all(axis=tuple(range(1, scores.ndim))))

    def checked(self, scores: Floats) -> Floats:
        """Return a model's scores, shape (rows,), or (rows, outputs) of several.

        :raises ConfigurationError: if there are fewer or more for a row, or some can be none, with the first of these.
        """
        scores = self.completed(scores)
        width = 1 if scores.ndim == 1 else scores.shape[1]
        if width != len(self.outputs) or (width == 1) != (scores.ndim == 1):
            raise ConfigurationError(
                f"the model gives {width} numbers for a row, and {len(self.outputs)} are needed: "
                f"{', '.join(self.outputs)}; {self.advice}"
            )
        odd = scores[~self.are_predictions(scores)]
        if len(odd):
            counts = f"{len(odd)} of {len(scores)} rows"
            raise ConfigurationError(
                f"the model gives {odd[0]} for a row, and {counts} no {self.allowed}; {self.advice}"
            )
        return scores

    def completed(self, scores: Floats) -> Floats:
        """Return a model's scores, with those added that follow from the others; of no rows there are none."""
        if not len(scores) and len(self.outputs) > 1:
            return scores.reshape(0, len(self.outputs))
        return scores[:, 0] if scores.ndim == 2 and scores.shape[1] == 1 else scores

    def decisions(self, scores: Floats) -> Floats:
        """Return what scores say the labels are, as numbers."""
        return scores

    def headline(self, scores: Floats) -> Floats:
        """Return the number of each row that a histogram of predictions counts."""
        return scores

    def columns(self, scores: Floats) -> dict[str, Any]:
        """Return the columns in which a table holds predictions: :data:`PREDICTION` first, then the ``outputs``."""
        return {PREDICTION: scores}

    def scores(self, table: pd.DataFrame) -> Floats:
        """Return the scores that a table of predictions holds."""
        held: Floats = table[list(self.outputs)].to_numpy("float64")
        return held[:, 0] if held.shape[1] == 1 else held

    @property
    def answer_fields(self) -> dict[str, Any]:
        """The type of each field in the model server's answer to a row."""
        return {self.answer: float}

    def answers(self, scores: Floats) -> list[dict[str, Any]]:
        """Return the model server's answer to each row."""
        return [{self.answer: value} for value in scores.tolist()]

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
