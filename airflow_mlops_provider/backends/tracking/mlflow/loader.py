"""What MLflow calls to load a model of ours. It travels with the model, and imports nothing that does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.models.base import OLDEST, LoadedModel, flavor_of
from airflow_mlops_provider.backends.models.inputs import described
from airflow_mlops_provider.exceptions import SourceDataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

#: The package that a model carries this module in, with a dot; nothing where it is the provider's own.
_AROUND = __name__.partition("airflow_mlops_provider.")[0]


@dataclass(frozen=True)
class Served:
    """A model as MLflow applies it: what it gives is ours to the bit, and what is wrong with the rows is named."""

    model: LoadedModel

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return what :meth:`LoadedModel.predict` does. MLflow's servers answer wrong rows with 400, and why."""
        from mlflow.exceptions import MlflowException

        try:
            return self.model.predict(frame)
        except SourceDataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


def _load_pyfunc(path: str) -> Served:
    """Return the model that a folder holds; MLflow calls it by this name."""
    folder = Path(path)
    name = described(folder).get("flavor", OLDEST)
    flavor = flavor_of(f"{_AROUND}{name}" if ":" in name else name)
    return Served(LoadedModel(name, flavor.load(folder), flavor))
