"""One loaded model version. The server and the batch job predict with this same class, so both give the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends import signing
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.exceptions import IntegrityError, JobError, SourceDataError
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion
from airflow_mlops_provider.lifecycle.release.evaluation import Compared
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.lifecycle.source import DataType
from airflow_mlops_provider.scoring.inputs import column_inputs, conform_columns, model_inputs, stored_types
from airflow_mlops_provider.storage.artifacts import content_hash

Predictions = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
ROWS_ALONE = 25
_PLACEHOLDERS: dict[DataType, object] = {"string": "", "int64": 0, "float64": 0.0, "bool": False}


class Predictor:
    """A model version, ready to predict rows of one shape."""

    def __init__(self, shape: Scoring, model: models.LoadedModel) -> None:
        self.shape, self.model, self.problem = shape, model, problems.find(shape.problem)
        self._columns, self._stored = [*shape.row_columns], stored_types(shape)

    @classmethod
    def load(cls, shape: Scoring, folder: Path, version: ModelVersion) -> Predictor:
        """Load a version's files after checking that they are the registered ones.

        :raises IntegrityError: if they are not, cannot be read as a model, or lack a signature that is required.
        """
        actual = content_hash(folder)
        if actual != version.hash:
            raise IntegrityError(
                f"model version {version.version} of {version.name!r}: its files have hash {actual[:12]}…, "
                f"recorded was {version.hash[:12]}…; they were changed or are incomplete"
            )
        return cls(shape, load_model(folder, version))

    def predict(self, rows: pd.DataFrame, features: pd.DataFrame) -> Predictions:
        """Return the scores for each row, as float64 of shape ``(len(rows),)``, or ``(len(rows), outputs)`` of several.

        :param rows: request columns and ``event_time``; other columns are left out.
        :param features: the stored features of the same rows, in the same order; NaN or None where there is none.
        :raises SourceDataError: if the two differ in length, lack a column, or hold values of another type.
        :raises ConfigurationError: if the model gives anything but a prediction of its problem's kind for every row.
        """
        return self.score(self.inputs(rows, features))

    def inputs(self, rows: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
        """Return what the model gets for some rows and their features. Arguments and errors as for ``predict``."""
        if len(rows) != len(features):
            raise SourceDataError(f"{len(rows)} rows, but features for {len(features)}")
        both = [name for name in features.columns if name in rows.columns]
        request = rows.drop(columns=both) if both else rows
        return model_inputs(self.shape, pd.concat([_numbered(request), _numbered(features)], axis=1))

    def column_inputs(self, rows: Columns, features: Mapping[str, np.ndarray]) -> Columns:
        """Return the same by column, and in a fraction of the time for a few rows.

        :param rows: request columns and ``event_time``, of their types.
        :param features: see ``FeatureStoreBackend.online_columns``.
        """
        request = {name: rows[name] for name in self._columns}
        return column_inputs(self.shape, Columns({**request, **conform_columns(features, self._stored)}))

    def score(self, inputs: pd.DataFrame | Columns) -> Predictions:
        """Return the prediction for each row of model inputs. Shape and errors as for ``predict``."""
        return self.problem.checked(self.model.predict(inputs))

    def smoke(self) -> None:
        """Predict one row of placeholders without any feature: a version that cannot do that must not serve.

        :raises JobError: if the product's code or the model fails on it.
        """
        request = {name: _PLACEHOLDERS.get(kind, datetime.now(UTC)) for name, kind in self.shape.row_columns.items()}
        features = dict.fromkeys(self.shape.feature_types)
        try:
            self.predict(pd.DataFrame([request]), pd.DataFrame([features]))
        except Exception as error:
            raise JobError(f"the smoke row failed: {type(error).__name__}: {str(error)[:300]}") from error


def load_model(folder: Path, of: Model | ModelVersion) -> models.LoadedModel:
    """Load a model's files; those of a version only with the signature that is required, if one is.

    :raises SignatureError: if it is missing or wrong.
    """
    if isinstance(of, ModelVersion):
        signing.verify_if_required(folder, f"version {of.version} of {of.name}")
    return models.load(folder)


def one_by_one(predictor: Predictor, rows: pd.DataFrame, most: int = ROWS_ALONE) -> Compared:
    """Return whether some rows, each by itself as serving gets it, get the predictions that they get all together.

    :param rows: request columns, ``event_time`` and joined features, as models learn from them.
    """
    shape = predictor.shape
    together = model_inputs(shape, rows)
    scores, request = predictor.score(together), rows[list(shape.row_columns)]
    features, first, differing = rows[list(shape.feature_types)], "", 0
    places = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))
    for place in places:
        call = pd.DataFrame(request.iloc[[place]].to_dict("records"))
        alone = predictor.inputs(call, features.iloc[[place]])
        given, wanted = alone.iloc[0], together.iloc[place]
        odd = [name for name in together.columns if not _equal(given.get(name), wanted[name])]
        if not odd and np.array_equal(predictor.score(alone)[0], scores[place]):
            continue
        differing += 1
        shown = f"{odd[0]} is {given.get(odd[0])} alone, and {wanted[odd[0]]} among others" if odd else "the model"
        first = first or f"{shown} of row {place}"
    return Compared(rows=len(places), differing=differing, first=first)


def _equal(value: object, other: object) -> bool:
    if isinstance(value, np.ndarray | list | tuple):
        return np.array_equal(np.asarray(value), np.asarray(other))
    return bool(value == other) or (bool(pd.isna(value)) and bool(pd.isna(other)))


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if frame.index.equals(pd.RangeIndex(len(frame))) else frame.reset_index(drop=True)
