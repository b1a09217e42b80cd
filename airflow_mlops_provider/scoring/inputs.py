"""What a row to predict is made of, and the one way from it to model inputs: for training, batch and REST alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.models.inputs import assembled
from airflow_mlops_provider.lifecycle.sections import Scoring
from airflow_mlops_provider.lifecycle.source import DataType
from airflow_mlops_provider.runtime.code import load
from airflow_mlops_provider.scoring.frames import conform

if TYPE_CHECKING:
    import pandas as pd

_NULLABLE: dict[DataType, DataType] = {"int64": "float64", "bool": "float64"}


def model_inputs(scoring: Scoring, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the model gets for some rows: the output of ``assemble`` on request columns, time and features.

    Other columns are left out: neither a label nor a column that is known only later can slip in with the rows.

    :raises SourceDataError: if a declared column is missing, or not of its type.
    :raises ConfigurationError: if ``assemble`` returns anything but a row of inputs for each row.
    """
    # Any stored feature may be missing, so whole numbers and booleans among them are float64.
    features = {name: _NULLABLE.get(kind, kind) for name, kind in scoring.feature_types.items()}
    frame = conform(rows, {**scoring.row_columns, **features})
    return assembled(load(scoring.assemble)(frame), rows.index, scoring.assemble)
