"""Evidently as a drift method; whoever only looks it up does not load it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.drift.base import Drift, DriftMethod

if TYPE_CHECKING:
    import pandas as pd


class Evidently(DriftMethod):
    """Its tests, picked by type and size of the data."""

    packages = ("evidently",)
    options = ("tests",)

    def drift(
        self,
        reference: pd.DataFrame,
        current: pd.DataFrame,
        *,
        predictions: Collection[str],
        limits: Mapping[str, float],
        folder: Path,
        sample: int,
        seed: int,
        tests: Sequence[str] = (),
    ) -> Drift:
        from airflow_mlops_provider.backends.drift.evidently.report import Plan, drift

        plan = Plan(tuple(predictions), limits, tuple(tests))
        return drift(reference, current, plan, folder=folder, sample=sample, seed=seed)


DRIFT_METHOD = Evidently()
