"""Multiclass classification: a label is one of several classes; a prediction is the probability of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, field_validator

from airflow_mlops_provider.lifecycle.figures import Figure, Matrix
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.problems.base import PREDICTION, Problem, Truth
from airflow_mlops_provider.problems.labels import (
    as_text,
    balanced,
    check_declared,
    check_differ,
    check_known,
    checked_names,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from airflow_mlops_provider.problems.base import Floats

_EXACT = 1e-6
_PER_CLASS = (
    "Of what was said to be a class, precision is the share that was; of what was, recall the share said to be."
)


class MulticlassClassification(Problem):
    """Which of several classes something is.

    :param classes: their names, at least two; a trainer is given their places as labels, 0 for the first.
    :param balance: whether all classes count the same in training, however rare they are: a trainer is given weights
        inverse to the classes' frequencies, times those that the label declares.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    classes: tuple[str, ...] = ()
    balance: bool = False

    metrics = (
        Metric("log_loss", higher_is_better=False, high=None),
        Metric("accuracy"),
        Metric("balanced_accuracy"),
        Metric("macro_f1"),
        Metric("roc_auc_ovr"),
        Metric("top_2_accuracy"),
    )
    required = ("classes",)
    label_type = "string"
    buckets = tuple(step / 20 for step in range(1, 21))
    allowed = "probabilities of all classes, from 0 to 1 and 1 in sum"
    advice = "let the trainer learn one for each class, with LightGBM by the objective 'multiclass' and num_class"

    @field_validator("classes")
    @classmethod
    def _several(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        return checked_names(classes, "classes", "MulticlassClassification(classes=('low', 'middle', 'high'))")

    def labels(self, label: pd.Series) -> pd.Series:
        """Return labels as text, None where they are not known yet; a whole number is the class of that name."""
        texts = as_text(label)
        check_declared(label, texts[texts.notna() & ~texts.isin(self.classes)], "classes", self.classes)
        return texts

    def learnable(self, label: pd.Series, rows: str) -> pd.Series:
        """Return labels of at least two classes, none missing. A class may have no row: its probability is then 0."""
        labels = self.labels(label)
        check_known(labels, rows)
        check_differ(labels, rows)
        return labels

    def numbers(self, label: pd.Series) -> pd.Series:
        """Return the place of each label's class, int64."""
        import pandas as pd

        places = pd.Categorical(self.labels(label), categories=self.classes).codes
        return pd.Series(places.astype("int64"), index=label.index, name=label.name)

    def training_weights(self, label: pd.Series, weight: pd.Series | None) -> pd.Series | None:
        return balanced(self.labels(label), weight) if self.balance else weight

    # --- metrics ------------------------------------------------------------------------------------------------------

    def weighted(self, metric: str, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        from airflow_mlops_provider.problems.multiclass_classification.metrics import weighted

        return weighted(metric, truth.label, score)

    def flaw(self, truth: Truth) -> Callable[[Floats], str]:
        import numpy as np

        places = truth.label.astype(np.intp)

        def judged(weight: Floats) -> str:
            there = np.flatnonzero(np.bincount(places, weight, len(self.classes)) > 0)
            if len(there) > 1:
                return ""
            kinds = ", ".join(self.classes[place] for place in there) or "no class"
            return f"the rows hold labels of {kinds}; two classes are needed to judge by"

        return judged

    def unfit(self, label: Any, min_rows: int = 1) -> str:
        return super().unfit(label, min_rows) or ("" if len(set(label)) > 1 else "labels of one class only")

    def baseline(self, train: pd.DataFrame, rows: pd.DataFrame, label: str, by: str | None) -> Floats:
        """Return how frequent each class is in ``train``, by a column's values if one is named.

        Each class is counted once more than it is there, so that none is impossible (Laplace's rule of succession).
        """
        import numpy as np
        import pandas as pd

        counts = pd.get_dummies(pd.Categorical(self.labels(train[label]), categories=self.classes)).astype("float64")
        overall = (counts.sum().to_numpy() + 1) / (len(counts) + len(self.classes))
        if by is None:
            return np.tile(overall, (len(rows), 1))
        own = counts.groupby(train[by].to_numpy()).sum() + 1
        given = own.div(own.sum(axis=1), axis=0).reindex(rows[by].to_numpy()).to_numpy()
        spread: Floats = np.where(np.isnan(given), overall, given)
        return spread

    def figures(self, truth: Truth, scores: Floats) -> tuple[Figure, ...]:
        """Return how many rows of each class were said to be which, and how good that is for each."""
        from airflow_mlops_provider.problems.multiclass_classification.metrics import confusion, per_class

        counts = confusion(truth.label, self.decisions(scores), len(self.classes), truth.weight)
        named = {"rows": self.classes, "columns": self.classes}
        note = "Each row of the table is a true class, each column what it was said to be."
        return (
            Matrix(title="Confusion matrix", **named, values=counts.tolist(), note=note),
            Matrix(
                title="Classes",
                rows=self.classes,
                columns=("precision", "recall", "f1", "rows"),
                values=per_class(counts),
                note=_PER_CLASS,
            ),
        )

    @property
    def decides(self) -> bool:
        return True

    def said(self, scores: Floats) -> Floats:
        import numpy as np

        said: Floats = np.eye(len(self.classes))[scores.argmax(axis=1)]
        return said

    @property
    def calibrates(self) -> bool:
        return True

    def calibration(self, truth: Truth, scores: Floats) -> float:
        """Return the expected calibration error of the most probable class, of ten equally wide bins.

        Guo et al., "On calibration of modern neural networks", ICML 2017, eq. 3: accuracy against confidence.
        """
        import numpy as np

        from airflow_mlops_provider.problems.binary_classification.metrics import weighted

        right = (truth.label == scores.argmax(axis=1)).astype("float64")
        # Probabilities that add up to 1 but for rounding may be a hair above it.
        error = weighted("calibration_error", right, np.minimum(scores.max(axis=1), 1.0))
        return float(error(truth.weights[None, :])[0])

    # --- predictions --------------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"probability_{name}" for name in self.classes)

    def completed(self, scores: Floats) -> Floats:
        """Return probabilities of all classes: a single one is of the second of two, and the last ones may be missing.

        A model that was trained on no row of the last classes says nothing of them: their probability is 0.
        """
        import numpy as np

        if scores.ndim == 2 and scores.shape[1] == 1:
            scores = scores[:, 0]
        given = np.stack([1 - scores, scores], axis=1) if scores.ndim == 1 else scores
        lacking = len(self.classes) - given.shape[1]
        return np.pad(given, ((0, 0), (0, lacking))) if lacking > 0 else given

    def are_predictions(self, scores: Floats) -> npt.NDArray[np.bool_]:
        import numpy as np

        inside = ((scores >= 0) & (scores <= 1 + _EXACT)).all(axis=1)
        return np.asarray(inside & (np.abs(scores.sum(axis=1) - 1) <= _EXACT))

    def decisions(self, scores: Floats) -> Floats:
        """Return the place of the most probable class, of equals the first."""
        places: Floats = scores.argmax(axis=1).astype("float64")
        return places

    def headline(self, scores: Floats) -> Floats:
        """Return the highest probability of each row."""
        highest: Floats = scores.max(axis=1)
        return highest

    def columns(self, scores: Floats) -> dict[str, Any]:
        return {PREDICTION: self._said(scores), **dict(zip(self.outputs, scores.T, strict=True))}

    @property
    def answer_fields(self) -> dict[str, Any]:
        return {PREDICTION: Literal[self.classes], "probabilities": dict[str, float]}

    def answers(self, scores: Floats) -> list[dict[str, Any]]:
        return [
            {PREDICTION: said, "probabilities": dict(zip(self.classes, values, strict=True))}
            for said, values in zip(self._said(scores), scores.tolist(), strict=True)
        ]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes

    def _said(self, scores: Floats) -> list[str]:
        return [self.classes[place] for place in scores.argmax(axis=1)]


PROBLEM = MulticlassClassification()
