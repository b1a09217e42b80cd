"""MLflow models of any flavor: kept byte for byte, and applied in a process and an environment of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.base import Flavor
from airflow_mlops_provider.backends.models.inputs import damaged, described, inputs_of, read_model, take, write_model
from airflow_mlops_provider.backends.models.mlflow.environment import REQUIREMENTS, check_python
from airflow_mlops_provider.backends.models.mlflow.process import Worker
from airflow_mlops_provider.backends.models.outputs import per_class
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.storage.artifacts import content_hash

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

#: The folder that holds the model's, and in it the file that MLflow tells a model by.
FOLDER, DESCRIPTION = "mlflow", "MLmodel"


@dataclass(frozen=True)
class Applied:
    """A model whose process is up.

    :param inputs: ``name`` and ``categories`` (None for a number) of each.
    :param probabilities: it gives one for each class.
    """

    worker: Worker
    inputs: tuple[dict[str, Any], ...]
    probabilities: bool


class Mlflow(Flavor):
    """MLflow's own folder, which may hold pickles: they are opened in another process, with the model's requirements.

    Whoever loads such a model runs its code. So it is loaded after its content was held against the record, as all
    that act on a reference do.
    """

    words = "the path of a folder that MLflow's save_model wrote"
    takes = ()
    to_train = ("mlflow",)

    def fits(self, model: Any) -> bool:
        return isinstance(model, str | Path) and (Path(model) / DESCRIPTION).is_file()

    def save(self, model: str | Path, folder: Path, features: pd.DataFrame | None = None) -> None:
        """Copy an MLflow model's folder as it is, and write ``model.json`` (its hash; the inputs' names and types).

        The inputs are those of its signature, or all features.

        :raises ConfigurationError: if it was saved without its requirements, or for another Python.
        """
        model = Path(model)
        said = _said(model)
        check_python(model)
        if not (model / REQUIREMENTS).is_file():
            raise ConfigurationError(f"{model} has no {REQUIREMENTS}; save it with pip_requirements")
        names = _signature(said) or ([] if features is None else [*features.columns])
        inputs = inputs_of(names, features)
        shutil.copytree(model, folder / FOLDER, ignore=shutil.ignore_patterns("__pycache__"))
        data = (model / DESCRIPTION).read_bytes()
        write_model(folder, f"{FOLDER}/{DESCRIPTION}", data, inputs, content=content_hash(folder / FOLDER))

    def load(self, folder: Path) -> Applied:
        """Return a model whose process is up, and has read its files.

        :raises IntegrityError: if a file is missing, cut short or damaged.
        :raises ConfigurationError: if it can't be loaded in its environment.
        :raises JobError: if that can't be made.
        """
        _, inputs = read_model(folder, f"{FOLDER}/{DESCRIPTION}")
        if content_hash(folder / FOLDER) != described(folder).get("content"):
            raise damaged(folder, f"{FOLDER} is not what was saved")
        how = _said(folder / FOLDER)["flavors"].get("python_function", {})
        return Applied(Worker(folder / FOLDER), inputs, how.get("predict_fn") == "predict_proba")

    def predict(self, model: Applied, frame: pd.DataFrame) -> np.ndarray:
        """Return predictions, as :meth:`~.base.LoadedModel.predict` describes them.

        Each row is given to the model alone, so that it is the same to the bit among others: some milliseconds a row.

        :raises SourceDataError: if the model fails on the rows.
        """
        import numpy as np

        columns = {
            entry["name"]: {"values": _plain(values, entry["categories"]), "categories": entry["categories"]}
            for entry, values in zip(model.inputs, take(model.inputs, frame).values(), strict=True)
        }
        rows = np.asarray(model.worker.predict(columns, len(frame)), dtype=np.float64)
        return per_class(rows, list(range(rows.shape[1]))) if model.probabilities and rows.ndim == 2 else rows


def _plain(values: np.ndarray, categories: list[Any] | None) -> list[Any]:
    """Return a column as JSON has it; what is missing is None among categories, NaN among numbers."""
    plain: list[Any] = values.tolist()
    return plain if categories is None else [[*categories, None][code] for code in plain]


def _said(folder: Path) -> Mapping[str, Any]:
    """Return what a model says of itself. :raises ConfigurationError: if it is no description of a pyfunc."""
    import yaml

    said = yaml.safe_load((folder / DESCRIPTION).read_text("utf-8"))
    if not isinstance(said, dict) or "python_function" not in said.get("flavors", {}):
        raise ConfigurationError(f"{folder / DESCRIPTION} has no flavor python_function; save it by an MLflow flavor")
    return said


def _signature(said: Mapping[str, Any]) -> list[str]:
    """Return the columns that a model's signature names; none if it has no signature, or one of arrays."""
    columns = json.loads((said.get("signature") or {}).get("inputs") or "[]")
    return [column["name"] for column in columns if column.get("name")]


FLAVOR = Mlflow()
