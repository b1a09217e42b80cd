"""What a classifier gives for each row: the probability of 1, or one for each class, by the classes' codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    import numpy as np


def class_codes(model: Any) -> list[int] | None:
    """Return the codes of the classes that a model was trained on, in its own order; None if it knows of no classes.

    It knows of none, too, where they are labels of which a row may have several: it gives a probability for each.

    :param model: with ``classes_``, as scikit-learn has it, if it knows them.
    :raises ConfigurationError: if they are no codes.
    """
    classes = getattr(model, "classes_", None)
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    if classes is None or not len(classes) or getattr(last, "multilabel_", False):
        return None
    if isinstance(classes, list):
        raise ConfigurationError(
            f"the {type(model).__name__} predicts {len(classes)} things at once; make a model of one, or, of several "
            "labels, a OneVsRestClassifier"
        )
    odd = [label for label in classes if isinstance(label, str) or label != int(label) or label < 0]
    if odd:
        raise ConfigurationError(
            f"the {type(model).__name__} was trained on classes such as {odd[0]!r}; train it on the label as the "
            "trainer is given it: whole numbers from 0 on"
        )
    return [int(label) for label in classes]


def per_class(given: np.ndarray, classes: Sequence[int] | None) -> np.ndarray:
    """Return probabilities as :meth:`~.base.LoadedModel.predict` describes them; a class that nobody knows has zeros.

    :param given: of shape (rows, classes), or (rows,) for the probability of the second of two classes.
    :param classes: their codes, as :func:`class_codes` returns them; None leaves as it is what is given.
    """
    import numpy as np

    if classes is None:
        return given
    # A library that was given but one class may still speak of a second.
    table = (np.stack([1 - given, given], axis=1) if given.ndim == 1 else given)[:, : len(classes)]
    spread = np.zeros((len(given), max([1, *classes]) + 1))
    spread[:, classes] = table
    return spread[:, 1] if spread.shape[1] == 2 else spread
