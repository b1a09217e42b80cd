"""The trainer: a plain function, the same model from the same rows every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import lightgbm
    import pandas as pd

# One thread keeps the order of sums, and on a busy machine two that wait for each other were 20 times slower.
_REPEATABLE = {"deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1}


def train(features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int) -> lightgbm.Booster:
    """Return gradient-boosted trees that give the probability of a late arrival.

    :param features: the assembled inputs, one row an example.
    :param label: 1 for late, 0 for not, in the same order.
    :param settings: LightGBM parameters, and ``rounds``, the number of trees.
    :param seed: settles every random choice.
    """
    import lightgbm

    parameters = {key: value for key, value in settings.items() if key != "rounds"}
    data = lightgbm.Dataset(features, label=label, free_raw_data=False)
    return lightgbm.train({**parameters, **_REPEATABLE, "seed": seed}, data, num_boost_round=settings["rounds"])
