"""What a label may be, and what is said of one that may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.problems.binary_classification import PROBLEM

GOOD = {
    "numbers": [0, 1, 1],
    "truth values": [True, False, True],
    "floats that are numbers": [0.0, 1.0, 1.0],
    "with gaps": [0.0, None, 1.0],
    "truth values with gaps": [True, None, False],
    "nullable truth values": pd.array([True, None, False], dtype="boolean"),
    "small numbers": np.array([1, 0, 1], dtype="int8"),
    "categories": pd.Categorical([1, 0, 1]),
    "nobody knows yet": [None, None, None],
    "nobody knows, as a float": [np.nan, np.nan, np.nan],
    "nobody knows, as a time": [pd.NaT, pd.NaT, pd.NaT],
}
BAD = {
    "words": (["yes", "no", "yes"], r"'yes' \(2 times\), 'no' \(1 times\)"),
    "numbers as text": (["0", "1", "1"], r"'1' \(2 times\)"),
    "one and two": ([1, 2, 2], r"2 \(2 times\), 1 \(1 times\)"),
    "between": ([0.0, 0.5, 1.0], r"0\.5 \(1 times\)"),
    "plus and minus": ([-1, 1, 1], r"-1 \(1 times\)"),
    "endless": ([0.0, np.inf, 1.0], r"inf \(1 times\)"),
    "classes": (pd.Categorical(["late", "early", "late"]), r"'late' \(2 times\)"),
    "moments": (pd.date_range("2024-01-01", periods=3), "Timestamp"),
    "lists": ([[0], [1], [1]], r"\[1\] \(2 times\)"),
}


@pytest.mark.parametrize("case", GOOD)
def test_zero_and_one_are_labels(case: str) -> None:
    """Numbers and truth values become whole numbers, whatever they were kept in, and what is missing stays so."""
    given = pd.Series(GOOD[case], name="late")
    found = PROBLEM.labels(given)
    assert found.dtype == ("Int64" if given.isna().any() else "int64")
    expected = [None if pd.isna(one) else int(one) for one in given]
    assert [None if pd.isna(one) else one for one in found] == expected


@pytest.mark.parametrize("case", BAD)
def test_anything_else_is_none(case: str) -> None:
    """Other values are refused with the column, what was found and what is allowed; no retry helps."""
    values, seen = BAD[case]
    with pytest.raises(SourceDataError, match=f"label 'late' holds .*{seen}.*a label is 0 or 1, or a truth") as raised:
        PROBLEM.labels(pd.Series(values, name="late"))
    assert not raised.value.retryable


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 1, 1], r"'late' is 1 \(3 times\) in all 3 rows of May: nothing to tell apart"),
        ([False, False], r"'late' is 0 \(2 times\) in all 2 rows of May"),
        ([0, 1, None], "'late' is missing in 1 of 3 rows of May"),
        ([None, None], "'late' is missing in 2 of 2 rows of May"),
        (["no", "yes"], "'late' holds 'no'"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(values: list[Any], said: str) -> None:
    """One class only, or a gap, is no reason to train and fail later, or not at all."""
    with pytest.raises(SourceDataError, match=said):
        PROBLEM.learnable(pd.Series(values, name="late"), "May")


def test_good_labels_stay_as_they_are() -> None:
    """What was trained on before is trained on still, to the bit."""
    label = pd.Series([0, 1, 1], name="late", index=[5, 6, 9])
    pd.testing.assert_series_equal(PROBLEM.learnable(label, "May"), label)
