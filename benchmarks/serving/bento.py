"""BentoML's service with the same booster, run by the interpreter that ``BENCHMARK_BENTOML`` names.

``PYTHON -m bentoml serve benchmarks.serving.bento:Service``, with ``MODEL`` in its environment.
"""

from __future__ import annotations

import os
from typing import Any

import bentoml  # type: ignore[import-not-found]
import numpy as np


@bentoml.service(workers=1)  # type: ignore[untyped-decorator]
class Service:
    """Predictions for rows of finished inputs."""

    def __init__(self) -> None:
        import lightgbm

        self.booster = lightgbm.Booster(model_file=os.environ["MODEL"])

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, data: list[list[float | None]]) -> dict[str, Any]:
        """Return a prediction for each row."""
        table = np.array(data, dtype="float64")
        return {"predictions": self.booster.predict(table, num_threads=1).tolist()}
