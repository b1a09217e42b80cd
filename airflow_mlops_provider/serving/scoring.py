"""From stored rows to model inputs: the one way in, for training, evaluation, batch and REST alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.code import load
from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.product import MLProduct

if TYPE_CHECKING:
    import pandas as pd


def model_inputs(product: MLProduct, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the model sees of some rows: the product's ``assemble`` over request columns, time and features.

    Nothing else reaches it: a label, or a column known only later, cannot slip in with the rows.

    :raises UnknownNameError: if a declared column is missing from the rows.
    """
    wanted = [*product.request, "event_time", *product.feature_names]
    missing = [column for column in wanted if column not in rows.columns]
    if missing:
        raise UnknownNameError("column", ", ".join(missing), rows.columns)
    inputs: pd.DataFrame = load(product.assemble)(rows[wanted].copy())
    return inputs
