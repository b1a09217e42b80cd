"""What the product's code is given to make model inputs of: declared columns in their types, or an error."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.shape import Scoring, Target
from airflow_mlops_provider.problems.binary_classification import BinaryClassification
from airflow_mlops_provider.scoring import inputs
from airflow_mlops_provider.scoring.inputs import conform, for_trainer, model_inputs
from tests.factories.serving import StandInFeatures, make_rows


def test_only_declared_columns_reach_assemble(shape: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Request columns, time and features arrive with their types, a stored whole number as float64; nothing else."""
    seen: list[pd.DataFrame] = []
    monkeypatch.setattr(inputs, "load", lambda code: lambda rows: seen.append(rows) or rows)
    rows = pd.DataFrame(make_rows(3))
    model_inputs(shape, pd.concat([rows.assign(returned=1), StandInFeatures().online(rows)], axis=1))
    kinds = {name: str(dtype) for name, dtype in seen[0].dtypes.items()}
    request = {"customer": "object", "price": "float64", "pieces": "int64", "event_time": "datetime64[ns, UTC]"}
    assert kinds == {**request, "orders": "float64", "mean_price": "float64"}
    assert shape.feature_types == {"orders": "int64", "mean_price": "float64"}


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


def test_a_trainer_is_given_weights() -> None:
    """Those that are declared, and those that balance classes; None if there are none."""
    rows = pd.DataFrame({"late": [1, 0, 0, 0], "counts": [1.0, 2.0, 1.0, 0.0], "hour": [1, 2, 3, 4]})
    plain, balanced = BinaryClassification(), BinaryClassification(balance=True)
    target = Target(problem=plain, column="late")
    assert for_trainer(target, plain, rows) == {"weight": None, "group": None}
    assert list(for_trainer(target, balanced, rows)["weight"]) == pytest.approx([2.0, 2 / 3, 2 / 3, 2 / 3])
    weighted = Target(problem=plain, column="late", weight="counts")
    assert list(for_trainer(weighted, plain, rows)["weight"]) == [1.0, 2.0, 1.0, 0.0]
    both = for_trainer(weighted, balanced, rows)["weight"]
    assert list(both) == pytest.approx([2.0, 4 / 3, 2 / 3, 0.0])


def test_missing_column_lists_those_there() -> None:
    """A frame without a needed column is refused, and the message lists what it has."""
    with pytest.raises(SourceDataError, match="no column 'i'; there are: j"):
        conform(pd.DataFrame({"j": [1]}), {"i": "int64"})
