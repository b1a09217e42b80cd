"""Multilabel classification: a row has any of several labels, or none; a prediction is the probability of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from airflow_mlops_provider.lifecycle.figures import Figure, Matrix
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.problems.base import PREDICTION, Problem, Truth
from airflow_mlops_provider.problems.labels import as_text, check_declared, check_differ, check_known, checked_names

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from airflow_mlops_provider.problems.base import Floats

#: What a matrix of values calls it that a row does not have a label, or was not given it.
WITHOUT = ""


class MultilabelClassification(Problem):
    """Which of several labels something has: any number of them, or none.

    The column of the truth is text, such as ``billing|urgent``: labels in any order, with a separator between them.
    Empty text is none of them; a missing value is not known yet. A trainer is given a frame of 0 and 1, a column each.

    :param labels: their names, at least two.
    :param separator: what stands between labels in the text.
    :param threshold: the probability from which a row is said to have a label.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, serialize_by_alias=True)

    label_names: tuple[str, ...] = Field(default=(), alias="labels")  # where type checkers look for it
    separator: Annotated[str, Field(min_length=1)] = "|"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5

    metrics = (
        Metric("hamming_loss", higher_is_better=False),
        Metric("micro_f1"),
        Metric("macro_f1"),
        Metric("average_precision"),
        Metric("subset_accuracy"),
    )
    required = ("label_names",)
    label_type = "string"
    buckets = tuple(step / 20 for step in range(1, 21))
    allowed = "probabilities of all labels, each from 0 to 1"
    advice = "let the trainer learn a probability for each label"

    @field_validator("label_names")
    @classmethod
    def _several(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return checked_names(names, "labels", "MultilabelClassification(labels=('billing', 'urgent'))")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if joined := [name for name in self.label_names if self.separator in name]:
            raise ValueError(f"label {joined[0]!r} holds the separator {self.separator!r}; declare another separator")
        return self

    def labels(self, label: pd.Series) -> pd.Series:
        """Return labels as text, in the declared order, None where they are not known yet."""
        import numpy as np
        import pandas as pd

        places, texts = pd.factorize(as_text(label))
        parts = [self._parts(text) for text in texts]
        odd = np.flatnonzero([bool({*part} - {*self.label_names}) for part in parts])
        strays = [
            name for place in places[np.isin(places, odd)] for name in parts[place] if name not in self.label_names
        ]
        check_declared(label, pd.Series(strays, dtype=object), "labels", self.label_names)
        ordered = [self._joined([name in part for name in self.label_names]) for part in parts]
        values = np.array([*ordered, None], dtype=object)[places]
        return pd.Series(values, index=label.index, name=label.name, dtype=object)

    def learnable(self, label: pd.Series, rows: str) -> pd.Series:
        """Return labels, none missing, and not the same in all rows."""
        labels = self.labels(label)
        check_known(labels, rows)
        check_differ(labels, rows)
        return labels

    def numbers(self, label: pd.Series) -> pd.DataFrame:
        """Return for each label whether a row has it, 1 or 0, as int64."""
        import numpy as np
        import pandas as pd

        places, texts = pd.factorize(self.labels(label))
        rows = [[name in self._parts(text) for name in self.label_names] for text in texts]
        table = np.array(rows, dtype="int64").reshape(len(texts), len(self.label_names))
        return pd.DataFrame(table[places], index=label.index, columns=[*self.label_names])

    # --- metrics ------------------------------------------------------------------------------------------------------

    def weighted(self, metric: str, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        from airflow_mlops_provider.problems.multilabel_classification.metrics import weighted

        return weighted(metric, truth.label, score, self.decisions(score))

    def flaw(self, truth: Truth) -> Callable[[Floats], str]:
        having = truth.label.sum(axis=1)

        def judged(weight: Floats) -> str:
            positive = float(weight @ having)
            negative = float(weight.sum()) * len(self.label_names) - positive
            counts = f"the rows have {positive:g} labels, and do not have {negative:g}"
            return "" if positive > 0 and negative > 0 else f"{counts}; both are needed to judge by"

        return judged

    def unfit(self, label: Any, min_rows: int = 1) -> str:
        if few := super().unfit(label, min_rows):
            return few
        table = label if label.ndim == 2 else self.numbers(label).to_numpy()
        every = "all" if table.any() else "none"
        return "" if table.any() and not table.all() else f"{every} of the labels in each row"

    def baseline(self, train: pd.DataFrame, rows: pd.DataFrame, label: str, by: str | None) -> Floats:
        """Return how frequent each label is in ``train``, by a column's values if one is named."""
        import numpy as np

        known = self.numbers(train[label]).astype("float64")
        overall = known.mean().to_numpy()
        if by is None:
            return np.tile(overall, (len(rows), 1))
        given = known.groupby(train[by].to_numpy()).mean().reindex(rows[by].to_numpy()).to_numpy()
        spread: Floats = np.where(np.isnan(given), overall, given)
        return spread

    def figures(self, truth: Truth, scores: Floats) -> tuple[Figure, ...]:
        """Return how good decisions are for each label."""
        from airflow_mlops_provider.problems.multilabel_classification.metrics import per_label

        columns = ("precision", "recall", "f1", "rows")
        values = per_label(truth.label, self.decisions(scores), truth.weight)
        return (Matrix(title="Labels", rows=self.label_names, columns=columns, values=values),)

    # --- predictions --------------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"probability_{name}" for name in self.label_names)

    def are_predictions(self, scores: Floats) -> npt.NDArray[np.bool_]:
        import numpy as np

        return np.asarray(((scores >= 0) & (scores <= 1)).all(axis=1))

    def decisions(self, scores: Floats) -> Floats:
        """Return for each label whether a row is said to have it, 1 or 0."""
        return (scores >= self.threshold).astype("float64")

    @property
    def decides(self) -> bool:
        return True

    def headline(self, scores: Floats) -> Floats:
        """Return the highest probability of each row."""
        highest: Floats = scores.max(axis=1)
        return highest

    def columns(self, scores: Floats) -> dict[str, Any]:
        said = [self._joined(row) for row in self.decisions(scores)]
        return {PREDICTION: said, **dict(zip(self.outputs, scores.T, strict=True))}

    @property
    def answer_fields(self) -> dict[str, Any]:
        return {PREDICTION: list[str], "probabilities": dict[str, float]}

    def answers(self, scores: Floats) -> list[dict[str, Any]]:
        return [
            {
                PREDICTION: [name for name, has in zip(self.label_names, row, strict=True) if has],
                "probabilities": dict(zip(self.label_names, values, strict=True)),
            }
            for row, values in zip(self.decisions(scores), scores.tolist(), strict=True)
        ]

    @property
    def class_names(self) -> tuple[str, ...]:
        return (*self.label_names, WITHOUT)

    def outcomes(self, rows: pd.DataFrame, label: str) -> tuple[pd.Series, pd.Series]:
        """Return of each row and label whether the row has it, and was given it: its name, or :data:`WITHOUT`."""
        import numpy as np
        import pandas as pd

        tables = self.numbers(rows[label]).to_numpy(), self.decisions(self.scores(rows))
        names = np.array(self.label_names, dtype=object)
        true, said = (pd.Series(np.where(table == 1, names, WITHOUT).ravel()) for table in tables)
        return true, said

    def _parts(self, text: str) -> list[str]:
        return text.split(self.separator) if text else []

    def _joined(self, has: Any) -> str:
        return self.separator.join(name for name, own in zip(self.label_names, has, strict=True) if own)


PROBLEM = MultilabelClassification()
