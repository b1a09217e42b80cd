"""Models with a regression each, as a training, a library or a machine may bring it: planted to be noticed.

Each is an ordinary LightGBM model whose folder names another flavor, which does something more at each prediction.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from airflow_mlops_provider.backends.models.inputs import name_flavor
from airflow_mlops_provider.backends.models.lightgbm import LightGBM
from tests.factories.serving import make_model

_LEAKED: list[bytearray] = []


class Flawed(LightGBM):
    """LightGBM with a flaw. ``takes`` is nothing, so that no trainer's model is taken for one of these."""

    takes = ()

    def __init__(self, flaw: Callable[[np.ndarray], np.ndarray], before_load: float = 0.0) -> None:
        self.flaw, self.before_load = flaw, before_load

    def load(self, folder: Path) -> Any:
        time.sleep(self.before_load)
        return super().load(folder)

    def predict(self, model: Any, frame: pd.DataFrame) -> np.ndarray:
        """Predict as the model does, then do the flaw; the smoke row, which has no price at all, is left alone."""
        said = super().predict(model, frame)
        return said if frame["price"].eq(0).all() else self.flaw(said)


def _raise(_: np.ndarray) -> np.ndarray:
    raise RuntimeError("the model's code fails")


def _sleep(said: np.ndarray) -> np.ndarray:
    time.sleep(0.2)
    return said


def _leak(said: np.ndarray) -> np.ndarray:
    _LEAKED.append(bytearray(b"x" * 2**20))
    return said


ERRORS = Flawed(_raise)
SLOW = Flawed(_sleep)
SHIFTED = Flawed(lambda said: said * 0.2)
INVERTED = Flawed(lambda said: 1 - said)
LEAKING = Flawed(_leak)
SLOW_START = Flawed(lambda said: said, before_load=600)
CRASHING = Flawed(lambda _: os._exit(1))
HANGING = Flawed(lambda said: (time.sleep(600), said)[1])


def plant(name: str) -> Callable[[Path, int], None]:
    """Return what makes a model's folder with a flaw of this module."""

    def make(folder: Path, _: int) -> None:
        make_model(folder, 1)
        name_flavor(folder, f"tests.factories.flaws:{name}")

    return make


def of_inputs(*names: str) -> Callable[[Path, int], None]:
    """Return what makes the folder of a model that takes these inputs alone."""
    return lambda folder, seed: make_model(folder, seed, names)
