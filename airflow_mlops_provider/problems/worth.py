"""What predictions brought, by what the product declares of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint

import numpy as np
import numpy.typing as npt
import pandas as pd

from airflow_mlops_provider.exceptions import ConfigurationError

Floats = npt.NDArray[np.float64]


def by_function(code: str, rows: pd.DataFrame) -> Floats:
    """Return what each row brought, as the user's function says.

    :raises ConfigurationError: if it can't be loaded, or does not return a finite number for each row.
    """
    try:
        function = EntryPoint("", code, "").load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{code}, what predictions are worth, can't be loaded: {error}") from error
    amounts: Floats = pd.to_numeric(pd.Series(function(rows.copy())), errors="coerce").to_numpy("float64")
    if len(amounts) != len(rows) or not np.isfinite(amounts).all():
        raise ConfigurationError(f"{code} must return what each of {len(rows)} rows brought, a finite number each")
    return amounts


def by_class(matrix: Mapping[str, Mapping[str, float]], label: pd.Series, predicted: pd.Series) -> Floats:
    """Return what each row brought, by its true and its predicted class."""
    pairs = zip(label.astype(str), predicted.astype(str), strict=True)
    return np.array([matrix.get(true, {}).get(said, 0.0) for true, said in pairs], dtype="float64")
