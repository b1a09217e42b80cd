"""A drift method: how far means have moved, in the reference's standard deviations."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.drift.base import PAGE, Drift, DriftMethod
from airflow_mlops_provider.exceptions import DataValidationError

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 0.3


class Moments(DriftMethod):
    """Means, of numbers; of anything else how much of the shares of its values has moved."""

    packages = ("pandas",)

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
    ) -> Drift:
        missing = [name for name in reference.columns if name not in current.columns]
        if missing or reference.empty or current.empty:
            raise DataValidationError(f"the sides can't be compared; missing: {', '.join(missing) or 'rows'}")
        if any(name not in reference.columns or current[name].dtype.kind not in "iuf" for name in predictions):
            raise DataValidationError("a side has no numeric predictions")
        columns = {
            name: self._moved(reference[name], current[name], limits.get(name, LIMIT)) for name in reference.columns
        }
        moved = max((columns.pop(name)["score"] for name in predictions), default=None)
        drifted = [name for name, column in columns.items() if column["drifted"]]
        gone = {name: column["missing"] for name, column in columns.items() if len(set(column["missing"])) > 1}
        (folder / PAGE).write_text(f"<!doctype html><p>drifted: {escape(', '.join(drifted))}</p>", "utf-8")
        share = len(drifted) / len(columns) if columns else 0.0
        return Drift(share, columns, moved, gone)

    def _moved(self, before: pd.Series, now: pd.Series, limit: float) -> dict[str, Any]:
        shares = [float(side.isna().mean()) for side in (before, now)]
        if before.dtype.kind in "iuf":
            score = abs(float(now.mean()) - float(before.mean())) / (float(before.std()) or 1.0)
        else:
            counts = [side.value_counts(normalize=True) for side in (before, now)]
            score = float(counts[0].sub(counts[1], fill_value=0).abs().sum()) / 2
        score = 1.0 if math.isnan(score) else score  # of nothing there is no mean
        return {"score": score, "drifted": score > limit, "method": "means", "threshold": limit, "missing": shares}
