"""Trained models of every flavor: kept, loaded and applied. A folder says itself which flavor it holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.model_inputs import INPUTS_FILE, damaged
from airflow_mlops_provider.exceptions import MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_HERE = "airflow_mlops_provider.backends"


@dataclass(frozen=True)
class Flavor:
    """A format of models, and what it takes.

    :param keeps: the module whose ``save(model, folder)`` writes one.
    :param applies: the module whose ``load(folder)`` and ``predict(model, frame)`` use one.
    :param to_train, to_predict: the distributions that either needs.
    :param extra: the extra of this package that installs all of them.
    """

    keeps: str
    applies: str
    to_train: tuple[str, ...]
    to_predict: tuple[str, ...]
    extra: str = ""


FLAVORS = {
    "lightgbm": Flavor(f"{_HERE}.lightgbm", f"{_HERE}.lightgbm", ("lightgbm",), ("lightgbm",)),
    "torch": Flavor(
        f"{_HERE}.torch", f"{_HERE}.onnx", ("torch", "onnx", "onnxscript", "onnxruntime"), ("onnxruntime",), "torch"
    ),
}
#: What a job that predicts with models of any flavor depends on.
PREDICTING = tuple(name for flavor in FLAVORS.values() for name in flavor.to_predict)


@dataclass(frozen=True)
class LoadedModel:
    """A model, ready to predict.

    :param model: what the flavor's own backend loaded.
    """

    flavor: str
    model: Any

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return one prediction a row, float64, in the frame's order; a row's is the same alone or among others.

        :param frame: the model's inputs, taken by name; a category that training never saw counts as missing.
        :raises SourceDataError: if an input is missing or of a type that the model cannot take.
        """
        return import_module(FLAVORS[self.flavor].applies).predict(self.model, frame)  # type: ignore[no-any-return]


def flavor_of(name: str) -> Flavor:
    """Return the flavor of that name. :raises UnknownNameError: if there is none; the message lists the known ones."""
    if name not in FLAVORS:
        raise UnknownNameError("model flavor", name, FLAVORS)
    return FLAVORS[name]


def check_installed(name: str) -> None:
    """Make sure that models of a flavor can be trained and kept here.

    :raises MissingExtraError: if a library is missing; the message has the line that installs it.
    """
    flavor = flavor_of(name)
    _need(name, flavor.to_train, f"'airflow-mlops-provider[{flavor.extra}]'" if flavor.extra else flavor.to_train[0])


def save(model: Any, folder: Path, name: str) -> LoadedModel:
    """Write a trained model's files into a folder, and return it as it will be loaded.

    :raises MissingExtraError: as :func:`check_installed`.
    """
    check_installed(name)
    import_module(flavor_of(name).keeps).save(model, folder)
    return load(folder)


def load(folder: Path) -> LoadedModel:
    """Return the model that a folder holds.

    :raises IntegrityError: if a file is missing, cut short or damaged.
    :raises MissingExtraError: if the library that applies it is not installed; the message has the pip line.
    """
    try:
        name = json.loads((folder / INPUTS_FILE).read_text()).get("flavor", "lightgbm")  # whose files do not name it
    except (OSError, ValueError, AttributeError) as error:
        raise damaged(folder, str(error)) from error
    flavor = flavor_of(name)
    _need(name, flavor.to_predict, " ".join(flavor.to_predict))
    return LoadedModel(name, import_module(flavor.applies).load(folder))


def _need(name: str, libraries: tuple[str, ...], install: str) -> None:
    missing = [library for library in libraries if find_spec(library) is None]
    if missing:
        raise MissingExtraError(f"{name} models need {', '.join(missing)}; run: pip install {install}")
