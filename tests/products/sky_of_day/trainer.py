"""The trainer: small boosted trees, one probability a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import xgboost

    from airflow_mlops_provider import MulticlassClassification


def train(
    features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int, problem: MulticlassClassification
) -> xgboost.Booster:
    """Return trees for the classes' numbers."""
    import xgboost

    params = {"objective": "multi:softprob", "num_class": len(problem.classes), "max_depth": 3, "eta": 0.1}
    data = xgboost.DMatrix(features, label=label)
    return xgboost.train({**params, **settings, "nthread": 1, "seed": seed}, data, num_boost_round=40)
