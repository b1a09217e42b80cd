"""Trained models of every flavor: kept, loaded and applied. A folder says itself which flavor it holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.backends.models.columns import Columns, rows_of
from airflow_mlops_provider.backends.models.inputs import described, name_flavor
from airflow_mlops_provider.backends.models.returned import is_any, misfit
from airflow_mlops_provider.exceptions import ConfigurationError, MissingExtraError, UnknownNameError
from airflow_mlops_provider.extensions import FLAVORS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

OLDEST = "lightgbm"  # whose files do not name it


class Flavor(ABC):
    """A format of models. Its module is imported where trainers are declared: it loads its library inside of methods.

    :cvar takes: the classes of which it keeps an instance, as ``package.module.Class``; and that in words.
    :cvar to_train, to_predict: the distributions that training and predicting need.
    :cvar mistakes: what its library raises about wrong settings and data, the same each time; named as in ``takes``.
    :cvar extra: the extra of this package that installs all of it.
    :cvar by_columns: that ``predict`` also takes :class:`~.columns.Columns` in place of a frame, for which most of a
        call's time would go. A class that has a ``predict`` of its own says so anew.
    """

    takes: ClassVar[tuple[str, ...]]
    words: ClassVar[str]
    to_train: ClassVar[tuple[str, ...]] = ()
    to_predict: ClassVar[tuple[str, ...]] = ()
    mistakes: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    by_columns: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        # What is built on a flavor of ours was written for frames, whatever that flavor has learned since.
        if "predict" in vars(cls) and "by_columns" not in vars(cls):
            cls.by_columns = False

    @abstractmethod
    def save(self, model: Any, folder: Path, features: pd.DataFrame | None = None) -> None:
        """Write a model by :func:`~.inputs.write_model`: bytes the same for the same model, and nothing to unpickle.

        :param features: what it was trained on, under its true names; None where nobody can tell.
        :raises ConfigurationError: if it can't be kept.
        """

    @abstractmethod
    def load(self, folder: Path) -> Any:
        """Return the model that a folder holds. :raises IntegrityError: if a file is missing, cut short or damaged."""

    @abstractmethod
    def predict(self, model: Any, frame: Any) -> np.ndarray:
        """Return predictions as :meth:`LoadedModel.predict` describes them; :func:`~.inputs.take` gives the columns."""

    def fits(self, model: Any) -> bool:
        """Say whether this is something that it keeps, as far as can be seen without its library."""
        return is_any(type(model), self.takes)

    def prepared(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return inputs as a trainer is given them: under names that the library can take."""
        return features

    def needs(self, folder: Path) -> tuple[str, ...]:  # noqa: ARG002  # for what may hold another library's model
        """Return the distributions that predicting with the model in a folder needs."""
        return self.to_predict

    @property
    def packages(self) -> tuple[str, ...]:
        """The distributions that decide what a training makes."""
        return self.to_train


@dataclass(frozen=True)
class LoadedModel:
    """A model, ready to predict, as its flavor loaded it. ``takes``: the inputs that it says it takes."""

    flavor: str
    model: Any
    applied_by: Flavor
    takes: tuple[str, ...] = ()

    def predict(self, given: pd.DataFrame | Columns) -> np.ndarray:
        """Return a prediction for each row, float64, in their order; a row's is the same alone or among others.

        That is of shape (rows,), the probability of 1 where there are two classes; or (rows, outputs): the probability
        of each of more classes, in the order of their codes, or a value for each quantile.

        :param given: the model's inputs, taken by name; a category that training never saw counts as missing.
        :raises SourceDataError: if an input is missing or of a type that the model cannot take.
        :raises ConfigurationError: if the model gives anything but numbers, as many for each row.
        """
        if isinstance(given, Columns) and not self.applied_by.by_columns:
            given = given.frame()
        said, rows = self.applied_by.predict(self.model, given), rows_of(given)
        if said.ndim not in {1, 2} or said.shape[0] != rows or said.dtype != "float64":
            raise ConfigurationError(
                f"the model gives an array of shape {said.shape} and type {said.dtype} for {rows} rows; it "
                "must give a float64, or as many of them, for each row"
            )
        return said[:, 0] if said.ndim == 2 and said.shape[1] == 1 else said


def flavor_of(name: str) -> Flavor:
    """Return the flavor of that name. :raises UnknownNameError: if there is none; the message lists the known ones."""
    flavor: Flavor = FLAVORS.find(name)
    return flavor


def check_installed(name: str) -> None:
    """Make sure that models of a flavor can be trained here. :raises MissingExtraError: with the line that helps."""
    flavor = flavor_of(name)
    install = f"'airflow-mlops-provider[{flavor.extra}]'" if flavor.extra else " ".join(flavor.to_train)
    _need(name, flavor.to_train, install)


def prepared(features: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return inputs as a trainer of that flavor is given them: under names that its library can take."""
    return flavor_of(name).prepared(features)


def save(model: Any, folder: Path, name: str, features: pd.DataFrame | None = None) -> LoadedModel:
    """Write a trained model's files into a folder, and return it as it will be loaded.

    :param features: the inputs that it was trained on, under their true names.
    :raises MissingExtraError: as :func:`check_installed`.
    :raises ConfigurationError: if this is no trained model of that flavor.
    :raises UnknownNameError: if it takes inputs that are not among the features.
    """
    check_installed(name)
    flavor = flavor_of(name)
    if not flavor.fits(model):
        raise misfit(model, name, flavor.words, flavor.fits)
    flavor.save(model, folder, features)
    if name != OLDEST:
        name_flavor(folder, name)
    if features is not None:
        takes = [str(entry["name"]) for entry in described(folder)["inputs"]]
        for unknown in [column for column in takes if column not in features.columns]:
            raise UnknownNameError("input of the trained model", unknown, map(str, features.columns))
    return load(folder)


def is_mistake(error: Exception, name: str) -> bool:
    """Say whether an error is a flavor's library telling that settings or data can't be worked with."""
    return is_any(type(error), flavor_of(name).mistakes)


def load(folder: Path) -> LoadedModel:
    """Return the model that a folder holds.

    :raises IntegrityError: if a file is missing, cut short or damaged.
    :raises MissingExtraError: if the library that applies it is not installed; the message has the pip line.
    """
    said = described(folder)
    name = said.get("flavor", OLDEST)
    flavor = flavor_of(name)
    needs = flavor.needs(folder)
    _need(name, needs, " ".join(needs))
    model = flavor.load(folder)
    return LoadedModel(name, model, flavor, tuple(str(entry["name"]) for entry in said.get("inputs", ())))


def _need(name: str, libraries: tuple[str, ...], install: str) -> None:
    absent = missing(libraries)
    if absent:
        raise MissingExtraError(f"{name} models need {', '.join(absent)}; run: pip install {install}")


def installed_as(*names: str) -> str:
    """Return which of the distributions that bring the same module is installed; the first where none is."""
    versions = environment.versions(names)
    return next((name for name in names if versions[name] != "absent"), names[0])


def missing(libraries: tuple[str, ...]) -> list[str]:
    """Return which distributions are not installed; one whose module is there is, under whatever other name."""
    versions = environment.versions(libraries)
    return [library for library in libraries if versions[library] == "absent" and not _is_module(library)]


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
