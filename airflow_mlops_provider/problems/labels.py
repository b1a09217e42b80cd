"""What a label may be: 0 or 1, or a truth value; missing while nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import SourceDataError

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")
ALLOWED = "a label is 0 or 1, or a truth value, and missing while it is not known"


def binary(label: pd.Series) -> pd.Series:
    """Return labels as whole numbers: int64, or Int64 where some are not known yet.

    :raises SourceDataError: with the column, the values found and what is allowed.
    """
    import numpy as np
    from pandas.api.types import infer_dtype

    plain = label.astype(object).where(label.notna(), np.nan) if label.dtype.kind not in "iufb" else label
    known = plain[plain.notna()]
    if len(known) and (infer_dtype(known) not in _NUMBERS or not known.astype("float64").isin((0.0, 1.0)).all()):
        raise SourceDataError(f"label {label.name!r} holds {_seen(known)}; {ALLOWED}: make it so in examples")
    whole = plain.astype("float64").astype("Int64")
    return whole if whole.isna().any() else whole.astype("int64")


def learnable(label: pd.Series, what: str) -> pd.Series:
    """Return labels as int64, of both classes and none missing.

    :param what: the rows, as messages name them.
    :raises SourceDataError: with the column and what was found.
    """
    found = binary(label)
    unknown = int(found.isna().sum())
    if unknown:
        raise SourceDataError(f"label {label.name!r} is missing in {unknown} of {len(found)} rows of {what}")
    if found.nunique() < 2:
        raise SourceDataError(
            f"label {label.name!r} is {_seen(found)} in all {len(found)} rows of {what}: nothing to tell apart; "
            "take more intervals, or mend what makes it in examples"
        )
    return found


def _seen(values: pd.Series) -> str:
    kinds = values.map(repr).value_counts()
    shown = [f"{value:.40} ({count} times)" for value, count in kinds.head(5).items()]
    return ", ".join(shown + ([f"and {len(kinds) - 5} others"] if len(kinds) > 5 else []))
