"""Labels that are numbers, or an error that names the first one that is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from airflow_mlops_provider.exceptions import SourceDataError

_NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")


def numbers(label: pd.Series, allowed: str, *, least: float = -np.inf) -> pd.Series:
    """Return labels as float64; those that are not known yet stay missing.

    :param allowed: what a label may be, for the error. :param least: the smallest that it may be.
    :raises SourceDataError: for text, an infinity, or a smaller number; it names column, value and row.
    """
    values = label if label.dtype.kind in "iufb" else label.astype(object).where(label.notna(), np.nan)
    known = values[values.notna()]
    if len(known) and infer_dtype(known) not in _NUMBERS:
        _refuse(known, [infer_dtype([value], skipna=False) not in _NUMBERS for value in known], allowed)
    amounts = values.astype("float64")
    _refuse(amounts, np.isinf(amounts) | (amounts < least), allowed)
    return amounts


def known_numbers(labels: pd.Series, rows: str) -> pd.Series:
    """Return labels of which none is missing. :raises SourceDataError: if one is."""
    if unknown := int(labels.isna().sum()):
        raise SourceDataError(f"label {labels.name!r} is missing in {unknown} of {len(labels)} rows of {rows}")
    return labels


def _refuse(values: pd.Series, wrong: pd.Series | list[bool], allowed: str) -> None:
    odd = values[wrong]
    if len(odd):
        value = odd.iloc[0]
        shown = f"{value:g}" if isinstance(value, float) else f"{value!r:.40}"
        raise SourceDataError(
            f"label {values.name!r} is {shown} in row {odd.index[0]}, one of {len(odd)} such; {allowed}, and missing "
            "while it is not known: make it so in examples"
        )
