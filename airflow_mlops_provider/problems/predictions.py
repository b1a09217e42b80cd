"""What predictions of a kind of problem look like: what a model gives, what a table holds, what a server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.problem import ProblemDeclaration

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

#: The column of predictions in every table that has them.
PREDICTION = "prediction"


class Predictions(ProblemDeclaration):
    """That part of a problem's contract; by default a score is a number, and is the prediction."""

    #: What the model server calls the answer to a row, and the bounds at which its histogram counts answers.
    answer: ClassVar[str] = "prediction"
    buckets: ClassVar[tuple[float, ...]] = (-1e6, -1e4, -100, -1, 0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6)
    #: What a score has to be, and what to do about a model that gives others.
    allowed: ClassVar[str] = "finite number"
    advice: ClassVar[str] = "let the trainer give one for each row"

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
