"""Evidently as a drift method; whoever only looks it up does not load it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.drift.base import Drift, DriftMethod

if TYPE_CHECKING:
    import pandas as pd


class Evidently(DriftMethod):
    """Its tests, picked by type and size of the data."""

    packages = ("evidently",)

    def drift(
        self,
        reference: pd.DataFrame,
        current: pd.DataFrame,
        *,
        prediction: str,
        folder: Path,
        sample: int,
        seed: int,
    ) -> Drift:
        from airflow_mlops_provider.backends.drift.evidently.report import drift

        return drift(reference, current, prediction=prediction, folder=folder, sample=sample, seed=seed)


DRIFT_METHOD = Evidently()
