"""One loaded model version. The server and the batch job predict with this same class, so both give the same bits."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.exceptions import IntegrityError, JobError, SourceDataError
from airflow_mlops_provider.lifecycle.product import DataType, MLProduct
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.scoring.inputs import model_inputs
from airflow_mlops_provider.storage.artifacts import content_hash

Probabilities = np.ndarray[Any, np.dtype[np.float64]]
_PLACEHOLDER: dict[DataType, Any] = {"string": "", "int64": 0, "float64": 0.0, "bool": False}


class Predictor:
    """A model version, ready to predict.

    :param model: what :func:`~..backends.models.load` returned.
    :param version: the registry's number.
    """

    def __init__(self, product: MLProduct, model: models.LoadedModel, version: int) -> None:
        self.product, self.model, self.version = product, model, version

    @classmethod
    def load(cls, product: MLProduct, folder: Path, model_hash: str, version: int) -> Predictor:
        """Load a model's files after checking that they are the recorded ones.

        :raises IntegrityError: if they are not, or cannot be read as a model.
        """
        found = content_hash(folder)
        if found != model_hash:
            raise IntegrityError(
                f"model version {version} of {product.name!r}: its files have hash {found[:12]}…, "
                f"recorded was {model_hash[:12]}…; they were changed or are incomplete"
            )
        return cls(product, models.load(folder), version)

    def predict(self, rows: pd.DataFrame, features: pd.DataFrame) -> Probabilities:
        """Return the probability for each row, as float64 of shape ``(len(rows),)``.

        :param rows: request columns and ``event_time``; other columns are left out.
        :param features: the stored features of the same rows, in the same order; NaN or None where there is none.
        :raises SourceDataError: if the two differ in length, lack a column, or hold values of another type.
        :raises JobError: if the model gives anything but a probability for every row.
        """
        return self.score(self.inputs(rows, features))

    def inputs(self, rows: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
        """Return what the model sees of some rows and their features. Arguments and errors as for ``predict``."""
        if len(rows) != len(features):
            raise SourceDataError(f"{len(rows)} rows, but features for {len(features)}")
        asked = rows.drop(columns=both) if (both := list({*rows.columns} & {*features.columns})) else rows
        return model_inputs(self.product, pd.concat([_numbered(asked), _numbered(features)], axis=1))

    def score(self, inputs: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the probability for each row of model inputs, as float64 of shape ``(len(inputs),)``.

        :raises JobError: if the model gives anything but a probability for every row.
        """
        result = np.asarray(self.model.predict(inputs), dtype=np.float64)
        if result.shape != (len(inputs),) or not ((result >= 0) & (result <= 1)).all():
            raise JobError(
                f"version {self.version} of {self.product.name!r} gave an array of shape {result.shape} for "
                f"{len(inputs)} rows, or values outside 0 to 1: {json.dumps(result.ravel()[:3].tolist())}"
            )
        return result

    def smoke(self) -> None:
        """Predict one row of placeholders without any feature: what cannot do that must not serve.

        :raises JobError: if the product's code or the model fails on it.
        """
        features = pd.DataFrame([dict.fromkeys(self.product.feature_names)])
        try:
            self.predict(placeholders(self.product), features)
        except Exception as error:
            raise JobError(f"the smoke row failed: {type(error).__name__}: {str(error)[:300]}") from error


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if frame.index.equals(pd.RangeIndex(len(frame))) else frame.reset_index(drop=True)


def placeholders(product: MLProduct) -> pd.DataFrame:
    """Return one row that is valid for the product and means nothing."""
    now = datetime.now(UTC)
    return pd.DataFrame(
        [{**{name: _PLACEHOLDER.get(kind, now) for name, kind in product.request.items()}, EVENT_TIME: now}]
    )
