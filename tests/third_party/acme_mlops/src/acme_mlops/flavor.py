"""A model flavor: a straight line through numbers, kept as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acme_mlops.means import applied
from airflow_mlops_provider.backends.models.base import Flavor
from airflow_mlops_provider.backends.models.inputs import damaged, read_model, write_model

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FILE = "means.json"


class Line:
    """What a trainer returns: a weight for each input, and what is added to all."""

    def __init__(self, weights: dict[str, float], base: float) -> None:
        self.weights, self.base = weights, base


class Means(Flavor):
    """Lines."""

    takes = ("acme_mlops.flavor.Line",)
    words = "an acme_mlops.flavor.Line"
    to_train = to_predict = ("numpy",)

    def save(self, model: Line, folder: Path, features: pd.DataFrame | None = None) -> None:
        data = json.dumps({"weights": model.weights, "base": model.base}).encode()
        inputs = [{"name": name, "dtype": "float64", "categories": None} for name in model.weights]
        write_model(folder, FILE, data, inputs)

    def load(self, folder: Path) -> dict[str, Any]:
        data, inputs = read_model(folder, FILE)
        if [entry["name"] for entry in inputs] != [*json.loads(data)["weights"]]:
            raise damaged(folder, "its files name different inputs")
        return {"inputs": inputs, **json.loads(data)}

    def predict(self, model: dict[str, Any], frame: pd.DataFrame) -> np.ndarray:
        return applied(model, frame)
