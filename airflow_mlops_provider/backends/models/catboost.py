"""CatBoost: models kept as its own binary format beside a description of their inputs; no pickle anywhere."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.base import Flavor
from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.backends.models.inputs import (
    INPUTS_FILE,
    damaged,
    described,
    inputs_of,
    matrix,
    read_model,
    take,
    write_model,
)
from airflow_mlops_provider.backends.models.outputs import class_codes, per_class
from airflow_mlops_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    import catboost
    import numpy as np
    import pandas as pd

MODEL_FILE = "model.cbm"
#: What CatBoost is given for a category that is missing or unknown: it takes no gap.
MISSING = ""
#: What of a model's own description differs between two that are the same.
_CHANCE = ("model_guid", "train_finish_time")
#: What a regressor gives of its own accord, and forgets once it is loaded, by the beginning of its loss's name.
_GIVEN = {"Poisson": "Exponent", "Tweedie": "Exponent", "RMSEWithUncertainty": "RMSEWithUncertainty"}


@dataclass(frozen=True)
class Trees:
    """A model, ready to predict.

    :param inputs: ``name`` and ``categories`` (None for a number) of each.
    :param classes: the codes of the classes that it knows; None if it gives no probabilities.
    :param gives: what it gives, as CatBoost calls that.
    """

    model: catboost.CatBoost
    inputs: tuple[dict[str, Any], ...]
    classes: list[int] | None
    gives: str


class CatBoost(Flavor):
    """CatBoost's own ``cbm``."""

    takes = ("catboost.core.CatBoost",)
    words = "a trained catboost.CatBoost model, classifier, regressor or ranker"
    to_train = to_predict = ("catboost",)
    mistakes = ("_catboost.CatBoostError",)
    extra = "catboost"
    by_columns = True

    def prepared(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return inputs as CatBoost takes them: categories as text, without a gap."""
        import pandas as pd

        texts = {
            name: pd.Categorical(
                _texts(values.cat.codes.to_numpy(), values.cat.categories),
                categories=dict.fromkeys([*map(str, values.cat.categories), MISSING]),
            )
            for name, values in features.select_dtypes("category").items()
        }
        return features.assign(**texts)

    def save(self, model: Any, folder: Path, features: pd.DataFrame | None = None) -> None:
        """Write a model as ``model.cbm`` and ``model.json`` (its SHA-256; the inputs' names and types).

        :raises ConfigurationError: if it was not trained, or splits as a category what is none among the features.
        """
        if not model.is_fitted():
            raise ConfigurationError(f"the {type(model).__name__} was not trained: there is no tree in it")
        inputs = inputs_of(list(model.feature_names_), features)
        _check_categories(model, inputs)
        write_model(folder, MODEL_FILE, _bytes(model), inputs, classes=class_codes(model))

    def load(self, folder: Path) -> Trees:
        import catboost

        data, inputs = read_model(folder, MODEL_FILE)
        classes = described(folder).get("classes")
        model = catboost.CatBoost()
        model.load_model(blob=data)
        if [entry["name"] for entry in inputs] != model.feature_names_:
            raise damaged(folder, f"{MODEL_FILE} and {INPUTS_FILE} name different inputs")
        loss = str(model.get_all_params().get("loss_function", "")).partition(":")[0]
        return Trees(model, inputs, classes, "Probability" if classes else _GIVEN.get(loss, "RawFormulaVal"))

    def predict(self, model: Trees, frame: pd.DataFrame | Columns) -> np.ndarray:
        """Return predictions, as :meth:`~.base.LoadedModel.predict` describes them.

        A row's prediction is the same to the bit alone or among others: one thread, and each row's trees are summed in
        the same order.
        """
        import numpy as np

        table = _table(model.inputs, frame)
        given = model.model.predict(table, prediction_type=model.gives, thread_count=1)
        return per_class(np.asarray(given, dtype=np.float64), model.classes)


def _check_categories(model: catboost.CatBoost, inputs: Sequence[dict[str, Any]]) -> None:
    split = set(model.get_cat_feature_indices())
    for place, entry in enumerate(inputs):
        if (place in split) != (entry["categories"] is not None):
            raise ConfigurationError(
                f"input {entry['name']!r} is a {'category' if place in split else 'number'} in the model, but "
                f"{entry['dtype']} in what the trainer was given; give inputs the dtype category in assemble, and name "
                "them all to CatBoost as cat_features"
            )


def _table(inputs: Sequence[dict[str, Any]], frame: pd.DataFrame | Columns) -> Any:
    """Return what CatBoost is given: bare numbers, if there is no category."""
    import pandas as pd

    if all(entry["categories"] is None for entry in inputs):
        return matrix(inputs, frame)
    known = {entry["name"]: entry["categories"] for entry in inputs}
    columns = take(inputs, frame)
    return pd.DataFrame(
        {name: values if known[name] is None else _texts(values, known[name]) for name, values in columns.items()}
    )


def _texts(codes: np.ndarray, categories: Sequence[Any]) -> np.ndarray:
    import numpy as np

    texts: np.ndarray = np.array([*map(str, categories), MISSING], dtype=object)
    return np.asarray(texts[codes])  # the last for -1


def _bytes(model: catboost.CatBoost) -> bytes:
    """Return a model as CatBoost writes it, the same for the same trees."""
    kept = model.copy()
    for name in _CHANCE:
        kept.get_metadata()[name] = ""
    with tempfile.TemporaryDirectory() as folder:  # CatBoost writes to a path only
        file = Path(folder) / MODEL_FILE
        kept.save_model(str(file), format="cbm")
        return file.read_bytes()


FLAVOR = CatBoost()
