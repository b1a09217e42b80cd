"""What a row to predict is made of, and the one way from it to model inputs: for training, batch and REST alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.models.inputs import assembled
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.product import DataType, MLProduct
from airflow_mlops_provider.lifecycle.source import Column
from airflow_mlops_provider.lifecycle.trainer import Code
from airflow_mlops_provider.runtime.code import load
from airflow_mlops_provider.scoring.frames import conform

if TYPE_CHECKING:
    import pandas as pd

EVENT_TIME = "event_time"
_NULLABLE: dict[DataType, DataType] = {"int64": "float64", "bool": "float64"}


class RowShape(Frozen):
    """What a row to predict is made of.

    :param request: the columns that a caller gives, ``event_time`` among them, and their types.
    :param keys: the request columns that name an entity.
    :param features: the stored features, in the order of their views, and their declared types.
    :param assemble: the function that makes model inputs of such rows.
    """

    request: dict[Column, DataType]
    keys: tuple[Column, ...]
    features: dict[Column, DataType]
    assemble: Code


def row_shape(product: MLProduct) -> RowShape:
    """Return the shape of a product's rows."""
    return RowShape(
        request={**product.request, EVENT_TIME: "timestamp"},
        keys=product.entity_columns,
        features={name: kind for view in product.views for name, kind in view.features.items()},
        assemble=product.assemble,
    )


def model_inputs(shape: RowShape, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the model gets for some rows: the output of ``assemble`` on request columns, time and features.

    Other columns are left out: neither a label nor a column that is known only later can slip in with the rows.

    :raises SourceDataError: if a declared column is missing, or not of its type.
    :raises ConfigurationError: if ``assemble`` returns anything but a row of inputs for each row.
    """
    # Any stored feature may be missing, so whole numbers and booleans among them are float64.
    features = {name: _NULLABLE.get(kind, kind) for name, kind in shape.features.items()}
    frame = conform(rows, {**shape.request, **features})
    return assembled(load(shape.assemble)(frame), rows.index, shape.assemble)
