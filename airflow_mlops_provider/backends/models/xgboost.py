"""XGBoost: models kept as its own binary JSON beside a description of their inputs; no pickle anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.base import Flavor, installed_as
from airflow_mlops_provider.backends.models.columns import Columns, rows_of
from airflow_mlops_provider.backends.models.inputs import (
    INPUTS_FILE,
    damaged,
    described,
    inputs_of,
    matrix,
    plain_names,
    read_model,
    write_model,
)
from airflow_mlops_provider.backends.models.outputs import class_codes, per_class
from airflow_mlops_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xgboost

MODEL_FILE = "model.ubj"
_UNFIT = re.compile(r"[][<]|^$")


@dataclass(frozen=True)
class Trees:
    """A model, ready to predict.

    :param inputs: ``name`` and ``categories`` (None for a number) of each; ``as``, where the trees call it otherwise.
    :param classes: the codes of the classes that it knows; None where it does not say.
    :param plain: it is nothing but trees: no lines, and none that is weighted or left out.
    """

    booster: xgboost.Booster
    inputs: tuple[dict[str, Any], ...]
    classes: list[int] | None
    plain: bool


class XGBoost(Flavor):
    """XGBoost's own UBJSON."""

    takes = ("xgboost.core.Booster", "xgboost.sklearn.XGBModel")
    words = "a trained xgboost.Booster or a fitted scikit-learn style XGBoost model"
    #: The one without CUDA is enough to predict, and a fifteenth of the other's size.
    to_train = to_predict = (installed_as("xgboost-cpu", "xgboost"),)
    mistakes = ("xgboost.core.XGBoostError",)
    extra = "xgboost"
    by_columns = True

    def prepared(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return inputs as a trainer can hand them to XGBoost: columns whose names it refuses have others."""
        return features.rename(columns=plain_names(features.columns, _UNFIT))

    def save(self, model: Any, folder: Path, features: pd.DataFrame | None = None) -> None:
        """Write a model as ``model.ubj`` and ``model.json`` (its SHA-256; the inputs' names and types).

        Where training stopped early, the trees up to the best iteration predict.

        :raises ConfigurationError: if the model was not trained, does not know its inputs by name, or knows other
            categories than the features have.
        """
        booster = _trained(model)
        true = {} if features is None else plain_names(features.columns, _UNFIT)
        known = {new: name for name, new in true.items()}
        names = list(booster.feature_names or ())
        inputs = inputs_of([known.get(name, name) for name in names], features)
        for name, entry in zip(names, inputs, strict=True):
            entry.update({"as": name} if name != entry["name"] else {})
        _check_categories(booster, inputs)
        write_model(folder, MODEL_FILE, bytes(booster.save_raw("ubj")), inputs, classes=class_codes(model))

    def load(self, folder: Path) -> Trees:
        import xgboost

        data, inputs = read_model(folder, MODEL_FILE)
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(data))
        if [entry.get("as", entry["name"]) for entry in inputs] != booster.feature_names:
            raise damaged(folder, f"{MODEL_FILE} and {INPUTS_FILE} name different inputs")
        learner = json.loads(booster.save_config())["learner"]
        if learner["objective"]["name"] == "multi:softmax":  # what else gives a class, and hides how sure it is
            booster.set_param({"objective": "multi:softprob"})
        plain = learner["gradient_booster"]["name"] == "gbtree"
        return Trees(booster, inputs, described(folder).get("classes"), plain)

    def predict(self, model: Trees, frame: pd.DataFrame | Columns) -> np.ndarray:
        """Return predictions, as :meth:`~.base.LoadedModel.predict` describes them.

        A row's prediction is the same to the bit alone or among others: each row's trees are summed in the same order.
        """
        import numpy as np

        # XGBoost forgets how many outputs there are where there is no row.
        rows = rows_of(frame)
        table = matrix(model.inputs, frame) if rows else np.zeros((1, len(model.inputs)))
        given = _applied(model, table)[:rows]
        return per_class(given.astype(np.float64), model.classes)


def _applied(model: Trees, table: np.ndarray) -> np.ndarray:
    import numpy as np
    import xgboost

    best = model.booster.attr("best_iteration")
    rounds = (0, int(best) + 1 if best else 0)
    if model.plain:  # in less than half of the time, the same bits
        return np.asarray(model.booster.inplace_predict(table, iteration_range=rounds, validate_features=False))
    names, kinds = model.booster.feature_names, model.booster.feature_types
    data = xgboost.DMatrix(table, feature_names=names, feature_types=kinds, nthread=1, enable_categorical=True)
    return np.asarray(model.booster.predict(data, iteration_range=rounds))


def _trained(model: Any) -> xgboost.Booster:
    """Return a model's booster. :raises ConfigurationError: if it was not trained, or not on columns with names."""
    try:
        booster: Any = model.get_booster() if hasattr(model, "get_booster") else model
        rounds = booster.num_boosted_rounds()
    except ValueError:  # what XGBoost and scikit-learn raise about a model without training
        rounds = 0
    if not rounds:
        raise ConfigurationError(f"the {type(model).__name__} was not trained: there is no tree in it")
    if not booster.feature_names:
        raise ConfigurationError(
            f"the {type(model).__name__} was trained on a bare array, and does not know its inputs by name; train it "
            "on columns of the frame that the trainer is given"
        )
    return booster


def _known_categories(booster: xgboost.Booster) -> dict[str, Any]:
    """Return the categories that a booster keeps, as Arrow's arrays; none of one that keeps but their places."""
    try:
        return dict(booster.get_categories(export_to_arrow=True).to_arrow())
    except ValueError:  # XGBoost's own error about boosters other than plain trees
        return {}


def _check_categories(booster: xgboost.Booster, inputs: Sequence[dict[str, Any]]) -> None:
    """Make sure that the trees know each category by the place that it has in the features."""
    known = _known_categories(booster)
    for entry, kind in zip(inputs, booster.feature_types or [], strict=False):
        own, given = known.get(entry.get("as", entry["name"])), entry["categories"]
        if own is not None and (given is None or not _same(own, given)):
            wrong = f"has {len(own)} categories of its own in the model"
        elif given is not None and kind != "c":
            wrong = "is a number in the model"
        else:
            continue
        raise ConfigurationError(
            f"input {entry['name']!r} {wrong}, but {'is a number' if given is None else f'is one of {given!r:.80}'} in "
            "what the trainer was given; give inputs their categories in assemble, not in the trainer, and train with "
            "enable_categorical=True"
        )


def _same(own: Any, given: Sequence[Any]) -> bool:
    """Say whether categories are those that a booster keeps.

    XGBoost 3.2 counts characters where it means bytes: of text beyond ASCII only the whole is as it was, up to its end.
    """
    if len(own) != len(given) or not all(isinstance(value, str) for value in given):
        return bool(own.to_pylist() == list(given))
    return "".join(given).encode().startswith(b"".join(own.cast("binary").to_pylist()))


FLAVOR = XGBoost()
