"""Columns get their declared types, or are refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.scoring.frames import conform


def test_types_do_not_depend_on_the_rows_beside() -> None:
    """A row alone and among others has columns of the same types."""
    types = {"s": "string", "f": "float64", "i": "int64", "t": "timestamp"}
    frame = pd.DataFrame({"s": ["a", None], "f": [1, None], "i": [1, 2], "t": [datetime.now(UTC), None]}).assign(x=0)
    whole = conform(frame, types)  # type: ignore[arg-type]
    alone = conform(frame.iloc[1:].astype(object), types)  # type: ignore[arg-type]
    assert list(whole.dtypes) == list(alone.dtypes)
    assert list(whole) == list(types)


@pytest.mark.parametrize("values", [[1, None], [1.5, 2.0], ["1", "2"], ["a", "b"]])
def test_integers_are_never_made_up(values: list[object]) -> None:
    """Gaps, fractions and text do not silently become whole numbers."""
    with pytest.raises(SourceDataError, match="column 'i' is not int64"):
        conform(pd.DataFrame({"i": values}), {"i": "int64"})


def test_missing_column_lists_those_there() -> None:
    """A frame without a needed column is refused, and the message lists what it has."""
    with pytest.raises(SourceDataError, match="no column 'i'; there are: j"):
        conform(pd.DataFrame({"j": [1]}), {"i": "int64"})
