"""The trainer: LightGBM's lambdarank, a group a traveller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import lightgbm
    import pandas as pd


def train(
    features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int, group: pd.Series
) -> lightgbm.Booster:
    """Return trees that order each traveller's modes; who it is says nothing."""
    import lightgbm

    order = group.argsort(kind="stable")
    sizes = group.iloc[order].groupby(group.iloc[order], sort=False).size()
    data = lightgbm.Dataset(
        features.drop(columns="traveller").iloc[order], label=label.iloc[order], group=sizes.to_numpy()
    )
    params = {"objective": "lambdarank", "num_leaves": 4, "min_data_in_leaf": 5, "learning_rate": 0.1}
    repeatable = {"deterministic": True, "num_threads": 1, "verbosity": -1, "seed": seed}
    return lightgbm.train({**params, **settings, **repeatable}, data, num_boost_round=40)
