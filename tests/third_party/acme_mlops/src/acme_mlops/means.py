"""How a line is applied to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.inputs import take

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MISSING = 0.0


def applied(model: dict[str, Any], frame: pd.DataFrame) -> np.ndarray:
    """Return a prediction for each row; what is missing counts as :data:`MISSING`."""
    import numpy as np

    columns = take(model["inputs"], frame)
    result = np.full(len(frame), model["base"], dtype="float64")
    for name, weight in model["weights"].items():
        result += weight * np.nan_to_num(columns[name], nan=MISSING)
    return result
