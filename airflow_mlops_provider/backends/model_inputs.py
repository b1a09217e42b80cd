"""What a model takes of a frame, whatever its library: columns by name, of the types that its training saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import IntegrityError, SourceDataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

INPUTS_FILE = "model.json"


def take(inputs: Sequence[Mapping[str, Any]], frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return a model's inputs: float64, or a category's place among those that training saw, -1 for any other.

    :param inputs: ``name`` and ``categories`` (None for a number) of each, in the model's order.
    :raises SourceDataError: if an input is missing or of a type that the model cannot take.
    """
    missing = [entry["name"] for entry in inputs if entry["name"] not in frame.columns]
    if missing:
        raise SourceDataError(f"the model needs columns that are not there: {', '.join(missing)}")
    return {entry["name"]: _column(frame[entry["name"]], entry["categories"]) for entry in inputs}


def damaged(folder: Path, why: str) -> IntegrityError:
    """Return the error for a model that cannot be what was saved."""
    return IntegrityError(f"the model in {folder} is damaged ({why[:200]}); run the training again")


def _column(values: pd.Series, categories: Sequence[Any] | None) -> np.ndarray:
    import numpy as np
    import pandas as pd

    if categories is not None:
        if isinstance(values.dtype, pd.CategoricalDtype) and values.dtype.categories.tolist() == list(categories):
            return np.asarray(values.array.codes)
        return np.asarray(pd.Categorical(values, dtype=pd.CategoricalDtype(categories)).codes)
    if isinstance(values.dtype, pd.CategoricalDtype):
        raise SourceDataError(f"column {values.name!r} is categorical, but the model was trained on numbers")
    try:
        # One width for every caller: a single row with nothing but missing values arrives as object.
        return np.asarray(values if values.dtype == np.float64 else values.astype("float64"))
    except (TypeError, ValueError) as error:
        raise SourceDataError(f"column {values.name!r} must hold numbers: {error}") from error
