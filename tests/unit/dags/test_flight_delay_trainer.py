"""The reference product's trainer, watched by a search: it tells how it goes, may be ended, and learns the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flight_delay.product import product
from flight_delay.trainer import train

SETTINGS = {**product.training.trainer.settings, "rounds": 40, "min_data_in_leaf": 5}


def rows(seed: int, count: int = 400) -> tuple[pd.DataFrame, pd.Series]:
    """Return some inputs and a label that follows from them."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(count, 4)), columns=list("abcd"))
    return frame, (frame["a"] + random.normal(size=count) > 0).astype("int64")


def test_who_watches_changes_nothing() -> None:
    """The trees are the same whether a search looks on or not; each ten rounds it is told a value."""
    told: list[tuple[int, float]] = []
    alone = train(*rows(1), SETTINGS, 13)
    watched = train(*rows(1), SETTINGS, 13, validation=rows(2), report=lambda step, value: told.append((step, value)))
    trees = [model.model_to_string().split("parameters:")[0] for model in (alone, watched)]
    assert trees[0] == trees[1]
    assert [step for step, _ in told] == [1, 2, 3, 4]
    assert all(0.5 < value < 1 for _, value in told)


def test_a_search_may_end_it() -> None:
    """What a search raises comes through."""

    class EnoughError(Exception):
        pass

    def report(step: int, value: float) -> None:
        if step == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        train(*rows(1), SETTINGS, 13, validation=rows(2), report=report)


def test_the_fixed_settings_are_in_the_space() -> None:
    """The product's search holds the settings that its pipeline trains with, so that they are tried first."""
    assert product.search
    (trees,) = [one for one in product.search.algorithms if one.code == product.training.trainer.code]
    assert trees.params_of(product.training.trainer) is not None
