"""Trained models of every flavor: kept, loaded and applied. A folder says itself which flavor it holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.inputs import INPUTS_FILE, damaged
from airflow_mlops_provider.exceptions import ConfigurationError, MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_HERE = "airflow_mlops_provider.backends.models"


@dataclass(frozen=True)
class Flavor:
    """A format of models, and what it takes.

    :param keeps: the module whose ``save(model, folder)`` writes one.
    :param applies: the module whose ``load(folder)`` and ``predict(model, frame)`` use one.
    :param to_train, to_predict: the distributions that either needs.
    :param takes: the classes of which it keeps an instance, and that in words.
    :param mistakes: what its library raises about wrong settings and data, the same each time.
    :param extra: the extra of this package that installs all of them.
    """

    keeps: str
    applies: str
    to_train: tuple[str, ...]
    to_predict: tuple[str, ...]
    takes: tuple[str, ...]
    words: str
    mistakes: tuple[str, ...] = ()
    extra: str = ""


FLAVORS = {
    "lightgbm": Flavor(
        f"{_HERE}.lightgbm",
        f"{_HERE}.lightgbm",
        ("lightgbm",),
        ("lightgbm",),
        ("lightgbm.basic.Booster", "lightgbm.sklearn.LGBMModel"),
        "a trained lightgbm.Booster or a fitted scikit-learn style LightGBM model",
        ("lightgbm.basic.LightGBMError",),
        extra="lightgbm",
    ),
    "torch": Flavor(
        f"{_HERE}.torch",
        f"{_HERE}.onnx",
        ("torch", "onnx", "onnxscript", "onnxruntime"),
        ("onnxruntime",),
        ("torch.nn.modules.module.Module",),
        "a torch.nn.Module with `inputs`, the categories of each input or None for a number",
        extra="torch",
    ),
}
#: What a job that predicts with models of any flavor depends on.
PREDICTING = tuple(name for flavor in FLAVORS.values() for name in flavor.to_predict)


@dataclass(frozen=True)
class LoadedModel:
    """A model, ready to predict, as its flavor's own backend loaded it."""

    flavor: str
    model: Any

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return one prediction a row, float64, in the frame's order; a row's is the same alone or among others.

        :param frame: the model's inputs, taken by name; a category that training never saw counts as missing.
        :raises SourceDataError: if an input is missing or of a type that the model cannot take.
        :raises ConfigurationError: if the model gives anything but a number for each row.
        """
        given: np.ndarray = import_module(FLAVORS[self.flavor].applies).predict(self.model, frame)
        if given.shape != (len(frame),):
            raise ConfigurationError(
                f"the model gives an array of shape {given.shape} for {len(frame)} rows; it must give one number a row"
            )
        return given


def modules_of(name: str) -> tuple[str, ...]:
    """Return our modules that keep and apply models of a flavor."""
    flavor = flavor_of(name)
    return (flavor.keeps, flavor.applies)


def flavor_of(name: str) -> Flavor:
    """Return the flavor of that name. :raises UnknownNameError: if there is none; the message lists the known ones."""
    if name not in FLAVORS:
        raise UnknownNameError("model flavor", name, FLAVORS)
    return FLAVORS[name]


def check_installed(name: str) -> None:
    """Make sure that models of a flavor can be trained here. :raises MissingExtraError: with the line that helps."""
    flavor = flavor_of(name)
    _need(name, flavor.to_train, f"'airflow-mlops-provider[{flavor.extra}]'" if flavor.extra else flavor.to_train[0])


def prepared(features: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return inputs as a trainer of that flavor is given them: under names that its library can take."""
    change = getattr(import_module(flavor_of(name).keeps), "prepared", None)
    return change(features) if change else features


def save(model: Any, folder: Path, name: str, features: pd.DataFrame | None = None) -> LoadedModel:
    """Write a trained model's files into a folder, and return it as it will be loaded.

    :param features: the inputs that it was trained on, under their true names.
    :raises MissingExtraError: as :func:`check_installed`.
    :raises ConfigurationError: if this is no trained model of that flavor.
    :raises UnknownNameError: if it takes inputs that are not among the features.
    """
    check_installed(name)
    flavor = flavor_of(name)
    if not _is_any(type(model), flavor.takes):
        raise _misfit(model, name)
    import_module(flavor.keeps).save(model, folder, features)
    loaded = load(folder)
    if features is not None:
        for unknown in [entry["name"] for entry in loaded.model.inputs if entry["name"] not in features.columns]:
            raise UnknownNameError("input of the trained model", unknown, map(str, features.columns))
    return loaded


def is_mistake(error: Exception, name: str) -> bool:
    """Say whether an error is a flavor's library telling that settings or data can't be worked with."""
    return _is_any(type(error), flavor_of(name).mistakes)


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


def _is_any(kind: type, names: tuple[str, ...]) -> bool:
    """Say whether a class is, or descends from, one of those; by name, so that nothing need be imported for it."""
    return any(f"{base.__module__}.{base.__qualname__}" in names for base in kind.__mro__)


def _misfit(model: Any, name: str) -> ConfigurationError:
    kind = type(model)
    came = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    others = [other for other, flavor in FLAVORS.items() if _is_any(kind, flavor.takes)]
    other = f"; flavor {others[0]!r} would take it" if others else ""
    return ConfigurationError(f"the trainer returned {came}, but flavor {name!r} takes {FLAVORS[name].words}{other}")
