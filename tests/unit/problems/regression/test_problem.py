"""Amounts: which labels can be, what is predicted without a model, and what quantiles look like."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from airflow_mlops_provider import Regression, Value
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError
from airflow_mlops_provider.serving.responses import predictions_model

POINT, COUNTS = Regression(), Regression(loss="poisson")
QUANTILES = Regression(quantiles=(0.1, 0.5, 0.9))
SCORES = np.array([[1.0, 2.0, 4.0], [3.0, 3.0, 3.5]])


def series(*values: Any) -> pd.Series:
    """Return labels whose rows are not numbered from 0."""
    return pd.Series([*values], index=range(7, 7 + len(values)), name="price")


@pytest.mark.parametrize(
    "values",
    [(1, 2), (1.5, None), (True, 3), (Decimal("1.5"), 2), pd.array([1, None], dtype="Int64"), (np.float32(1), 2)],
)
def test_numbers_are_labels(values: Any) -> None:
    """Of whatever kind; what is not known yet stays missing."""
    labels = POINT.labels(series(*values))
    assert labels.dtype == "float64"
    assert labels.isna().tolist() == [bool(pd.isna(value)) for value in values]


@pytest.mark.parametrize(
    ("problem", "values", "said"),
    [
        (POINT, (1.0, np.inf, -np.inf), "label 'price' is inf in row 8, one of 2 such; it is a finite number"),
        (POINT, (1, "cheap", 2), "label 'price' is 'cheap' in row 8, one of 1 such; it is a finite number"),
        (POINT, ("1", "2"), "label 'price' is '1' in row 7, one of 2 such"),
        (COUNTS, (1, 2, -3), "label 'price' is -3 in row 9, .*from 0 on, and missing while it is not known"),
    ],
)
def test_what_is_no_label_is_refused(problem: Regression, values: Any, said: str) -> None:
    """Column, value and row are named, and what is allowed."""
    with pytest.raises(SourceDataError, match=said):
        problem.labels(series(*values))


def test_of_no_count_nothing_is_learned() -> None:
    """Counts that are all 0 say nothing of how many there will be; amounts that are all 0 may be."""
    with pytest.raises(SourceDataError, match="label 'price' is 0 in all 2 rows of May"):
        COUNTS.learnable(series(0, 0), "May")
    assert POINT.learnable(series(0, 0), "May").tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("problem", "overall", "of_north"),
    [
        (POINT, 4.0, 2.0),
        (Regression(loss="absolute"), 4.0, 1.0),
        (COUNTS, 4.0, 2.0),
        (QUANTILES, [0.4, 4.0, 8.0], [0.2, 1.0, 4.2]),
        (Regression(quantiles=(0.5,)), 4.0, 1.0),
    ],
    ids=str,
)
def test_the_baseline_is_what_the_loss_asks_for(problem: Regression, overall: Any, of_north: Any) -> None:
    """The mean, the median or the quantiles: of all, or of those with the same value of a column."""
    train = pd.DataFrame({"price": [0.0, 1.0, 5.0, 4.0, 10.0], "town": [*"nnnss"]})
    rows = pd.DataFrame({"town": ["n", "w"]})
    np.testing.assert_allclose(problem.baseline(train, rows, "price", None), [overall, overall])
    np.testing.assert_allclose(problem.baseline(train, rows, "price", "town"), [of_north, overall])


def test_a_town_without_any_count_has_some_chance() -> None:
    """A prediction of 0 would be infinitely wrong once something is counted; one more row of the mean is taken."""
    train = pd.DataFrame({"price": [0.0, 0.0, 0.0, 4.0], "town": [*"nnns"]})
    assert COUNTS.baseline(train, train, "price", "town").tolist() == [0.25, 0.25, 0.25, 4.0]


def test_predictions_of_counts_lie_above_0() -> None:
    """What is none is refused, and it is said how such a model is learned."""
    with pytest.raises(ConfigurationError, match=r"gives 0\.0 for a row, and 1 of 2 rows no finite number, above 0"):
        COUNTS.checked(np.array([0.0, 1.0]))
    assert POINT.checked(np.array([0.0, -1.0])).tolist() == [0.0, -1.0]


# --- quantiles --------------------------------------------------------------------------------------------------------


def test_quantiles_that_cross_are_put_in_order() -> None:
    """As the same numbers in order are never worse."""
    crossed = SCORES[:, [1, 0, 2]]
    np.testing.assert_array_equal(QUANTILES.checked(crossed), SCORES)


def test_as_many_numbers_as_quantiles_are_needed() -> None:
    """A model of one number, or of two, is no model of three quantiles; it is said which are missing."""
    for scores in (SCORES[:, 0], SCORES[:, :2]):
        with pytest.raises(ConfigurationError, match=r"3 are needed: quantile_0\.1, quantile_0\.5, quantile_0\.9; let"):
            QUANTILES.checked(scores)


def test_a_table_holds_each_quantile() -> None:
    """The middle one is the prediction."""
    columns = {name: [*values] for name, values in QUANTILES.columns(SCORES).items()}
    assert columns == {
        "prediction": [2.0, 3.0],
        "quantile_0.1": [1.0, 3.0],
        "quantile_0.5": [2.0, 3.0],
        "quantile_0.9": [4.0, 3.5],
    }
    uneven = Regression(quantiles=(0.05, 0.6, 0.9))
    assert uneven.decisions(SCORES).tolist() == [2.0, 3.0]


def test_an_answer_has_its_type() -> None:
    """Over REST each quantile is a number under its name, and the description of the API says so."""
    answers = QUANTILES.answers(SCORES)
    assert answers[0] == {"prediction": 2.0, "quantiles": {"0.1": 1.0, "0.5": 2.0, "0.9": 4.0}}
    model = predictions_model(QUANTILES.answer_fields)
    body = {"product": "p", "version": 1, "predictions": [{"id": "a-0", **answers[0]}]}
    assert TypeAdapter(model).validate_python(body).model_dump() == body
    schema = model.model_json_schema()["$defs"]
    assert schema["Quantiles"]["required"] == ["0.1", "0.5", "0.9"]
    assert POINT.answers(SCORES[:, 0]) == [{"prediction": 1.0}, {"prediction": 3.0}]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quantiles": (0.9, 0.1)}, "each above the one before it"),
        ({"quantiles": (0.5, 0.5)}, "each above the one before it"),
        ({"quantiles": (0.0, 0.5)}, "between 0 and 1"),
        ({"quantiles": (0.5,), "loss": "poisson"}, "quantiles are learned by a loss of their own"),
        ({"loss": "huber"}, "'squared', 'absolute' or 'poisson'"),
        ({"quantile": 0.5}, "Extra inputs are not permitted"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], said: str) -> None:
    """They are refused as they are declared."""
    with pytest.raises(ValueError, match=said):
        Regression(**options)


# --- what it was worth ------------------------------------------------------------------------------------------------


def saved(rows: pd.DataFrame) -> pd.Series:
    """Return what each prediction saved: a unit of stock too many costs 2, one too few 5."""
    over = rows["prediction"] - rows["sold"]
    return -(2 * over.clip(lower=0) + 5 * (-over).clip(lower=0))


def test_what_predictions_were_worth_is_the_products_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its function gets labels and predictions, quantiles among them."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    value = Value(function=f"{__name__}:saved", currency="EUR")
    rows = pd.DataFrame({"sold": [1.0, 5.0], **QUANTILES.columns(SCORES)})
    assert QUANTILES.realised_value(value, rows, "sold") == {"rows": 2, "amount": -12.0, "currency": "EUR"}
