"""What kinds of problems do with labels before they are numbers: as text, counted for messages, weighed by class."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.frozen import unique

if TYPE_CHECKING:
    import pandas as pd


def as_text(label: pd.Series) -> pd.Series:
    """Return labels as text, None where they are missing; a whole number is written as such, whatever it is kept in."""
    import numpy as np
    import pandas as pd

    try:
        places, values = pd.factorize(label)
    except TypeError:  # lists and their like: they are refused by what they look like
        places, values = pd.factorize(label.map(repr))
    texts = np.array([*map(_text, values), None], dtype=object)
    return pd.Series(texts[places], index=label.index, name=label.name, dtype=object)


def _text(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def check_declared(label: pd.Series, unknown: pd.Series, what: str, known: Collection[str]) -> None:
    """Make sure that no value of a label is unknown. :raises SourceDataError: with the column, the values, the known.

    :param unknown: the values that nobody declared.
    :param what: what messages call those that are declared.
    """
    if len(unknown):
        raise SourceDataError(
            f"label {label.name!r} holds {counted(unknown)}; declared {what}: {', '.join(known)}; declare it too, or "
            "mend what makes it in examples"
        )


def check_known(label: pd.Series, rows: str) -> None:
    """Make sure that no label is missing. :raises SourceDataError: with how many are."""
    unknown = int(label.isna().sum())
    if unknown:
        raise SourceDataError(f"label {label.name!r} is missing in {unknown} of {len(label)} rows of {rows}")


def check_differ(label: pd.Series, rows: str) -> None:
    """Make sure that labels are not all the same. :raises SourceDataError: with what all are."""
    if label.nunique() < 2:
        raise SourceDataError(
            f"label {label.name!r} is {counted(label)} in all {len(label)} rows of {rows}: nothing to tell apart; take "
            "more intervals, or mend what makes it in examples"
        )


def counted(values: pd.Series) -> str:
    """Return the most frequent values and how often each is there."""
    counts = values.map(repr).value_counts()
    shown = [f"{value:.40} ({count} times)" for value, count in counts.head(5).items()]
    return ", ".join(shown + ([f"and {len(counts) - 5} others"] if len(counts) > 5 else []))


def balanced(classes: pd.Series, weight: pd.Series | None) -> pd.Series:
    """Return row weights with which all classes together count the same, as scikit-learn's ``class_weight="balanced"``.

    King and Zeng, "Logistic regression in rare events data", Political Analysis 9(2), 2001, section 4.2.

    :param weight: those that are declared, which stay within a class; the mean of all stays as it was.
    """
    import pandas as pd

    own = pd.Series(1.0, index=classes.index) if weight is None else weight.astype("float64")
    totals = own.groupby(classes).transform("sum")
    return (own * own.sum() / (classes.nunique() * totals)).fillna(0.0)


def checked_names(given: tuple[str, ...], what: str, such_as: str) -> tuple[str, ...]:
    """Return declared names of classes. :raises ValueError: if they are fewer than two, not unique, or empty text."""
    if len(given) < 2 or not all(given):
        raise ValueError(f"declare at least two {what}, each with a name, such as {such_as}; given: {given}")
    unique(what, given)
    return given
