"""LightGBM: models kept as native text beside a description of their inputs; no pickle anywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.base import Flavor
from airflow_mlops_provider.backends.models.columns import Columns, rows_of
from airflow_mlops_provider.backends.models.inputs import (
    INPUTS_FILE,
    damaged,
    described,
    matrix,
    plain_names,
    read_model,
    write_model,
)
from airflow_mlops_provider.backends.models.outputs import class_codes, per_class
from airflow_mlops_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    import lightgbm
    import numpy as np
    import pandas as pd

MODEL_FILE = "model.lgb"
#: What LightGBM refuses in a name, or writes otherwise: of a blank it makes an underscore by itself.
_UNFIT = re.compile(r'[][{}":, \r\n\0]|^$')


@dataclass(frozen=True)
class Trees:
    """A model, ready to predict, and the columns that it takes.

    :param inputs: ``name`` and ``categories`` (None for a number) of each; ``as``, where the trees call it otherwise.
    :param classes: the codes of the classes that it knows; None where it does not say.
    """

    booster: lightgbm.Booster
    inputs: tuple[dict[str, Any], ...]
    classes: list[int] | None = None


class LightGBM(Flavor):
    """LightGBM's own text."""

    takes = ("lightgbm.basic.Booster", "lightgbm.sklearn.LGBMModel")
    words = "a trained lightgbm.Booster or a fitted scikit-learn style LightGBM model"
    to_train = to_predict = ("lightgbm",)
    mistakes = ("lightgbm.basic.LightGBMError",)
    extra = "lightgbm"
    by_columns = True

    def prepared(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return inputs as a trainer can hand them to LightGBM: columns whose names it refuses have others.

        A name that it takes stays as it is, also where it writes it otherwise; :meth:`save` knows both.
        """
        names = plain_names(features.columns, _UNFIT)
        refused = {name: kept for name, kept in names.items() if kept != name.replace(" ", "_")}
        return features.rename(columns=refused) if refused else features

    def save(self, model: Any, folder: Path, features: pd.DataFrame | None = None) -> None:
        """Write a model as ``model.lgb`` (native text) and ``model.json`` (its SHA-256; the inputs' names and types).

        Where training stopped early, the trees up to the best iteration are kept.

        :param model: a trained booster, or a scikit-learn style LightGBM model.
        :param features: what the model was trained on, under its true names; None where LightGBM took all as they are.
        :raises ConfigurationError: if the model was not trained, or nobody could tell which input has which categories.
        """
        booster = _trained(model)
        data, inputs = booster.model_to_string().encode(), _described(booster, features)
        write_model(folder, MODEL_FILE, data, inputs, classes=class_codes(model))

    def load(self, folder: Path) -> Trees:
        """Return the model that a folder holds. :raises IntegrityError: if a file is missing, cut short or damaged."""
        import lightgbm as lgb

        # Checked before LightGBM's parser, which may crash on damaged text.
        text, inputs = read_model(folder, MODEL_FILE)
        booster = lgb.Booster(model_str=text.decode())
        names = [entry.get("as", entry["name"]) for entry in inputs]
        categories = [entry["categories"] for entry in inputs if entry["categories"] is not None]
        if names != booster.feature_name() or categories != (booster.pandas_categorical or []):
            raise damaged(folder, f"{MODEL_FILE} and {INPUTS_FILE} name different inputs")
        return Trees(booster, inputs, described(folder).get("classes"))

    def predict(self, model: Trees, frame: pd.DataFrame | Columns) -> np.ndarray:
        """Return predictions, as :meth:`~.base.LoadedModel.predict` describes them.

        Of more than two classes, each has a probability, in the order of their codes. A row's prediction is
        the same to the bit alone or among others: one thread, and each row's trees are summed in
        the same order.
        """
        import numpy as np

        outputs = model.booster.num_model_per_iteration()
        if not rows_of(frame):
            return per_class(np.empty((0, outputs) if outputs > 1 else 0), model.classes)
        table = matrix(model.inputs, frame)
        return per_class(np.asarray(model.booster.predict(table, num_threads=1), dtype=np.float64), model.classes)


def _trained(model: Any) -> lightgbm.Booster:
    """Return a model's booster. :raises ConfigurationError: if there is not a single tree in it."""
    booster: Any = getattr(model, "booster_", model)
    if not (hasattr(booster, "num_trees") and booster.num_trees()):
        raise ConfigurationError(f"the {type(model).__name__} was not trained: there is no tree in it")
    return booster


def _described(booster: lightgbm.Booster, features: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return what ``model.json`` says of each input."""
    kept = booster.feature_name()
    true = {new: name for name, new in plain_names(features.columns, _UNFIT).items()} if features is not None else {}
    categories = _categories(booster, [true.get(name, name) for name in kept], features)
    return [
        {
            "name": true.get(name, name),
            "dtype": "category" if index in categories else "float64",
            "categories": categories.get(index),
            **({"as": name} if true.get(name, name) != name else {}),
        }
        for index, name in enumerate(kept)
    ]


def _categories(booster: lightgbm.Booster, names: Sequence[str], features: pd.DataFrame | None) -> dict[int, list[Any]]:
    """Return the categories by the place of their input.

    LightGBM keeps them in order, and does not say whose they are: of the inputs that it splits as categories some may
    be plain numbers, codes that the trainer named to it.
    """
    known = booster.pandas_categorical or []
    given = {} if features is None else features.select_dtypes("category").items()
    given = {name: values.cat.categories.to_list() for name, values in given}
    as_given = [index for index, name in enumerate(names) if name in given]
    # A booster fresh from training calls the indexes by one name, one read from text by the other.
    split = booster.params.get("categorical_column", booster.params.get("categorical_feature")) or []
    if [given[names[index]] for index in as_given] == known:
        return dict(zip(as_given, known, strict=True))
    if len(split) == len(known):
        return dict(zip(split, known, strict=True))
    raise ConfigurationError(
        f"LightGBM knows {len(known)} lists of categories, and {len(split)} inputs that it splits as such: "
        f"{', '.join(names[index] for index in split)}; give inputs the dtype category in assemble, not in the trainer"
    )


FLAVOR = LightGBM()
