"""What a product's ``assemble`` may return, and what of it a model can learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.models.inputs import assembled, check_learnable, take
from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError, SourceDataError

ROWS = pd.RangeIndex(3)
GOOD = pd.DataFrame({"hour": [1, 2, 3], "wind": [0.5, None, 1.5]})


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (None, "shop:assemble returned NoneType; it must return a DataFrame"),
        (GOOD["hour"], "returned Series"),
        (GOOD.to_numpy(), "returned ndarray"),
        ([GOOD], "returned list"),
        (GOOD.set_axis(["hour", "hour"], axis=1), "returned column 'hour' twice"),
        (GOOD.set_axis([1, 2], axis=1), "returned a column named 1; names must be text"),
        (GOOD.set_axis(pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]), axis=1), r"a column named \('a', 'b'\)"),
        (GOOD.head(2), "returned 2 rows for 3"),
        (pd.concat([GOOD, GOOD]), "returned 6 rows for 3"),
        (GOOD.iloc[::-1], "the rows in another order"),
        (GOOD.sort_values("wind"), "the rows in another order"),
    ],
)
def test_what_assemble_may_not_return_is_named(frame: Any, said: str) -> None:
    """Anything but a row for each row, in their order, under plain names, is an error that names the function."""
    with pytest.raises(ConfigurationError, match=said) as raised:
        assembled(frame, ROWS, "shop:assemble")
    assert str(raised.value).startswith("shop:assemble returned")
    assert not raised.value.retryable


def test_a_row_for_each_row_is_taken() -> None:
    """The frame comes back as it is, also under an index of its own."""
    assert assembled(GOOD, ROWS, "shop:assemble") is GOOD
    for index in (["north", "south", "east"], [7, 7, 7], [0, 0, 1]):
        other = GOOD.set_axis(index)
        assert assembled(other, ROWS, "shop:assemble") is other


BAD: dict[str, tuple[Any, type[MLOpsError], str]] = {
    "a time": (pd.date_range("2024-01-01", periods=3, tz="UTC"), ConfigurationError, r"'x' is datetime64\[ns, UTC\]"),
    "a span": (pd.to_timedelta([1, 2, 3], "h"), ConfigurationError, "'x' is timedelta"),
    "a complex number": (np.array([1j, 2, 3]), ConfigurationError, "'x' is complex128"),
    "bands": (pd.cut([1, 2, 3], [0, 2, 4]), ConfigurationError, r"categories such as Interval\(0, 2.*\(interval\)"),
    "days": (pd.Categorical(pd.date_range("2024-01-01", periods=3)), ConfigurationError, r"\(datetime64\)"),
    "both kinds": (pd.Categorical(["a", 1, "b"]), ConfigurationError, "must be all text, or all finite numbers"),
    "pairs": (pd.Categorical([(1, 2), (3, 4), (1, 2)]), ConfigurationError, r"such as \(1, 2\)"),
    "endless": (pd.Categorical([1.0, np.inf, 1.0]), ConfigurationError, r"such as inf \(floating\)"),
    "great": (np.array([1, 2**53 + 1, 3]), SourceDataError, r"'x' holds 9007199254740993 \(row 1\)"),
    "far below": (np.array([1, 2, -(2**60)]), SourceDataError, r"-1152921504606846976 \(row 2\)"),
    "without sign": (np.array([2**64 - 1, 2, 3], dtype="uint64"), SourceDataError, r"18446744073709551615 \(row 0\)"),
    "great beside a gap": (
        pd.array([None, 2**62, 3], dtype="Int64"),
        SourceDataError,
        r"4611686018427387904 \(row 1\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_no_model_can_learn_from_is_named(case: str) -> None:
    """A type, a category or a number that no model keeps is refused before the training, by the input's name."""
    values, kind, said = BAD[case]
    with pytest.raises(kind, match=said) as raised:
        check_learnable(GOOD.assign(x=values), "prediction")
    assert not raised.value.retryable


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (GOOD.assign(prediction=1.0), "input is named 'prediction', as predictions are"),
        (GOOD[[]], "no column"),
        (GOOD.head(0), "no row"),
    ],
)
def test_inputs_that_are_none_are_named(frame: pd.DataFrame, said: str) -> None:
    """No inputs, no rows, or an input that would overwrite the predictions beside it, is refused."""
    with pytest.raises(MLOpsError, match=said) as raised:
        check_learnable(frame, "prediction")
    assert not raised.value.retryable


def test_what_a_model_can_learn_from_passes() -> None:
    """Numbers up to where float64 is exact, truth values, and categories of one kind are inputs; text is the trainer's
    to turn into them.
    """
    frame = GOOD.assign(
        edge=[2**53, -(2**53), 0],
        night=[True, False, True],
        gap=pd.array([1, None, 2], dtype="Int64"),
        shop=pd.Categorical(["a", None, "b"]),
        month=pd.Categorical([1, 2, 1]),
        share=pd.Categorical([0.5, None, 1.5]),
        nobody=pd.Categorical([None, None, None]),
        name=["a", "b", None],
    )
    check_learnable(frame, "prediction")


@pytest.mark.parametrize("known", [[False, True], [0, 1], [0.0, 1.0]], ids=str)
@pytest.mark.parametrize("given", [[True, False, None], [1.0, 0.0, None], [1, 0, None]], ids=str)
@pytest.mark.parametrize("kind", ["category", "object", None])
def test_true_is_the_category_one(known: list[Any], given: list[Any], kind: Any) -> None:
    """However a caller writes it: JSON and MLflow's servers have a number for it."""
    values = pd.Series(given, dtype=kind)
    (codes,) = take([{"name": "late", "categories": known}], pd.DataFrame({"late": values})).values()
    assert codes.tolist() == [1, 0, -1]
