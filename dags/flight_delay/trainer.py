"""The trainer: a plain function, the same model from the same rows every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import lightgbm
    import pandas as pd

# One thread keeps the order of sums, and on a busy machine two that wait for each other were 20 times slower.
_REPEATABLE = {"deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1}


_STEP = 10  # rounds between two looks at the later rows


def train(
    features: pd.DataFrame,
    label: pd.Series,
    settings: dict[str, Any],
    seed: int,
    validation: tuple[pd.DataFrame, pd.Series] | None = None,
    report: Callable[[int, float], None] | None = None,
) -> lightgbm.Booster:
    """Return gradient-boosted trees that give the probability of a late arrival.

    :param features: the assembled inputs, one row an example.
    :param label: 1 for late, 0 for not, in the same order.
    :param settings: LightGBM parameters, and ``rounds``, the number of trees.
    :param seed: settles every random choice.
    :param validation: inputs and labels of later rows, from which nothing is learnt.
    :param report: is told the AUC on those rows after each ten rounds, a step; it may raise, to end a training that
        leads nowhere.
    """
    import lightgbm

    parameters = {key: value for key, value in settings.items() if key != "rounds"}
    data = lightgbm.Dataset(features, label=label, free_raw_data=False)
    watched: dict[str, Any] = {}
    if validation is not None and report is not None:
        parameters["metric"] = "auc"
        later = lightgbm.Dataset(*validation, reference=data)
        watched = {"valid_sets": [later], "callbacks": [_telling(report)]}
    return lightgbm.train(
        {**parameters, **_REPEATABLE, "seed": seed}, data, num_boost_round=settings["rounds"], **watched
    )


def _telling(report: Callable[[int, float], None]) -> Callable[[Any], None]:
    def tell(state: Any) -> None:
        step, between = divmod(state.iteration + 1, _STEP)
        if not between:
            report(step, state.evaluation_result_list[0][2])

    return tell
