"""A training set's training rows, split once more by time: to choose settings without the window that judges models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.source import EVENT_TIME

if TYPE_CHECKING:
    import pandas as pd


def split_tail(product: MLProduct, frame: pd.DataFrame, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the earlier rows to learn from and the latest ones to judge on, both in order of time.

    Rows whose label was not known when the later part begins are left out of the earlier one: as in production, no
    model learns from a truth that lies after what it is judged on. Rows of one moment stay together.

    :param share: the later part's share of the rows, 0 to 1.
    :raises SourceDataError: if either part would be empty.
    """
    ordered = frame.sort_values(EVENT_TIME, kind="stable")
    begins = ordered[EVENT_TIME].iloc[int(len(ordered) * (1 - share))]
    later = ordered[EVENT_TIME] >= begins
    earlier = ordered[~later & (ordered[product.label.known_at] < begins)]
    if earlier.empty:
        raise SourceDataError(f"no training row lies before {begins} with its label known by then; take more intervals")
    return earlier.reset_index(drop=True), ordered[later].reset_index(drop=True)
