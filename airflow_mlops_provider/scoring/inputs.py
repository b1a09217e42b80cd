"""From stored rows to model inputs: the one way in, for training, evaluation, batch and REST alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.models.inputs import assembled
from airflow_mlops_provider.lifecycle.product import Scoring
from airflow_mlops_provider.runtime.code import load
from airflow_mlops_provider.scoring.frames import model_frame

if TYPE_CHECKING:
    import pandas as pd


def model_inputs(shape: Scoring, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the model sees of some rows: the product's ``assemble`` over request columns, time and features.

    Nothing else reaches it: a label, or a column known only later, cannot slip in with the rows.

    :raises SourceDataError: if a declared column is missing, or not of its type.
    :raises ConfigurationError: if ``assemble`` returns anything but a row of inputs for each row.
    """
    return assembled(load(shape.assemble)(model_frame(shape, rows)), rows.index, shape.assemble)
