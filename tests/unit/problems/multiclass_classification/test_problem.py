"""Several classes: what labels may be, what a model may give, what is answered, and what there is to be better than."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from airflow_mlops_provider import MulticlassClassification, Value, problems
from airflow_mlops_provider.exceptions import ConfigurationError, PartError, SourceDataError
from airflow_mlops_provider.lifecycle.problem import ProblemDeclaration
from airflow_mlops_provider.problems.base import PREDICTION

PROBLEM = MulticlassClassification(classes=("1", "2", "high"))
GOOD: dict[str, Any] = {
    "text": ["1", "high", "2"],
    "numbers and text": [1, "high", 2],
    "floats that are whole": [1.0, 2.0, 1.0],
    "with gaps": ["1", None, "high"],
    "numbers with gaps": [1.0, np.nan, 2.0],
    "nullable numbers": pd.array([1, None, 2], dtype="Int64"),
    "categories": pd.Categorical(["1", "high", None]),
    "Arrow's text": pd.array(["1", None, "high"], dtype="string"),
    "nobody knows yet": [None, None, None],
}
BAD: dict[str, tuple[Any, str]] = {
    "another class": (["1", "low", "low"], r"'low' \(2 times\)"),
    "another number": ([1, 2, 3], r"'3' \(1 times\)"),
    "between": ([1.5, 1, 2], r"'1\.5' \(1 times\)"),
    "truth values": ([True, False, True], r"'True' \(2 times\), 'False'"),
    "empty text": (["", "1", "2"], r"'' \(1 times\)"),
    "lists": ([["1"], "1", "2"], r"\['1'\]"),
}


@pytest.mark.parametrize("case", GOOD)
def test_declared_classes_are_labels(case: str) -> None:
    """Whatever they are kept in, they become text; what is missing stays so; as numbers they are places."""
    given = pd.Series(GOOD[case], name="grade", index=[4, 5, 6])
    made = PROBLEM.labels(given)
    assert made.dtype == object and list(made.index) == [4, 5, 6]
    known = {"1": "1", "1.0": "1", "2": "2", "2.0": "2", "high": "high"}
    assert list(made) == [None if pd.isna(value) else known[str(value)] for value in given]
    places = PROBLEM.numbers(given[given.notna()])
    assert list(places) == [PROBLEM.classes.index(text) for text in made.dropna()]


@pytest.mark.parametrize("case", BAD)
def test_any_other_value_is_refused(case: str) -> None:
    """Column, values and the declared classes are named; no retry helps."""
    values, seen = BAD[case]
    with pytest.raises(SourceDataError, match=f"label 'grade' holds .*{seen}.*declared classes: 1, 2, high") as raised:
        PROBLEM.labels(pd.Series(values, name="grade"))
    assert not raised.value.retryable


def test_what_cannot_be_learnt_from_is_named() -> None:
    """A gap, or one class only; that a declared class is in no row is no reason."""
    with pytest.raises(SourceDataError, match="'grade' is missing in 1 of 2 rows of May"):
        PROBLEM.learnable(pd.Series(["1", None], name="grade"), "May")
    with pytest.raises(SourceDataError, match=r"'grade' is 'high' \(2 times\) in all 2 rows of May: nothing to tell"):
        PROBLEM.learnable(pd.Series(["high", "high"], name="grade"), "May")
    assert list(PROBLEM.learnable(pd.Series([1, 2], name="grade"), "May")) == ["1", "2"]


@pytest.mark.parametrize("classes", [("a",), ("a", "a"), ("a", "")])
def test_classes_are_several_names(classes: tuple[str, ...]) -> None:
    """Fewer than two, the same twice and no name are refused when it is declared."""
    with pytest.raises(ValidationError, match="classes"):
        MulticlassClassification(classes=classes)


def test_classes_have_to_be_declared() -> None:
    """By its name alone nothing can be done with it; numbers are names as well."""
    for declared in ("multiclass_classification", MulticlassClassification()):
        with pytest.raises(PartError, match=r"needs classes: declare MulticlassClassification\(classes=…\)"):
            problems.find(declared)
    assert problems.find(ProblemDeclaration(kind="multiclass_classification", classes=[1, 2])).outputs == (
        "probability_1",
        "probability_2",
    )


# --- what a model gives


@pytest.mark.parametrize(
    ("given", "completed"),
    [
        ([[0.2, 0.3, 0.5]], [[0.2, 0.3, 0.5]]),
        ([[0.4, 0.6]], [[0.4, 0.6, 0.0]]),  # trained without a row of the last class
        ([0.25], [[0.75, 0.25, 0.0]]),  # of two classes the probability of the second
        ([[0.25]], [[0.75, 0.25, 0.0]]),
        (np.empty((0, 3)), np.empty((0, 3))),
        (np.empty(0), np.empty((0, 3))),
    ],
)
def test_what_follows_is_filled_in(given: Any, completed: Any) -> None:
    """Two classes may be one column, and classes that were never seen have no chance."""
    np.testing.assert_array_equal(PROBLEM.checked(np.array(given)), completed)


@pytest.mark.parametrize(
    "given",
    [
        [[0.2, 0.3, 0.4]],
        [[0.2, 0.3, 0.5 + 2e-6]],
        [[1.2, -0.2, 0.0]],
        [[0.2, 0.3, 0.3, 0.2]],
        [[np.nan, 0.5, 0.5]],
        [1.5],
        [[3.0, 1.0, -2.0]],
    ],
)
def test_what_are_no_probabilities_is_refused(given: Any) -> None:
    """A sum other than 1, a number out of range, another class: the trainer is to blame."""
    with pytest.raises(ConfigurationError, match=r"the model gives .*let the trainer learn one for each class"):
        PROBLEM.checked(np.array(given))
    assert PROBLEM.are_predictions(np.array([[0.2, 0.3, 0.5 + 5e-7]])).all()


def test_what_is_written_and_answered() -> None:
    """The most probable class by its name, of equals the first, and the probability of each."""
    scores = np.array([[0.2, 0.3, 0.5], [0.4, 0.4, 0.2]])
    table = pd.DataFrame(PROBLEM.columns(scores))
    assert list(table.columns) == [PREDICTION, "probability_1", "probability_2", "probability_high"]
    assert list(table[PREDICTION]) == ["high", "1"]
    first, second = PROBLEM.answers(scores)
    assert first == {PREDICTION: "high", "probabilities": {"1": 0.2, "2": 0.3, "high": 0.5}}
    assert second[PREDICTION] == "1"
    assert list(PROBLEM.headline(scores)) == [0.5, 0.4] and list(PROBLEM.decisions(scores)) == [2.0, 0.0]
    allowed = TypeAdapter(PROBLEM.answer_fields[PREDICTION])
    assert allowed.validate_python("high") == "high"
    with pytest.raises(ValidationError):
        allowed.validate_python("low")


# --- what there is to be better than, and what it is worth


def test_the_baseline_is_how_frequent_classes_are() -> None:
    """By a column, too; no class is impossible, or its log loss would not be finite."""
    train = pd.DataFrame({"shop": [*"aaab"], "grade": ["1", "1", "2", "high"]})
    rows = pd.DataFrame({"shop": ["a", "b", "c", None]})
    overall = [3 / 7, 2 / 7, 2 / 7]
    np.testing.assert_allclose(PROBLEM.baseline(train, rows, "grade", None), [overall] * 4)
    by_shop = PROBLEM.baseline(train, rows, "grade", "shop")
    np.testing.assert_allclose(by_shop, [[3 / 6, 2 / 6, 1 / 6], [1 / 4, 1 / 4, 2 / 4], overall, overall])
    assert PROBLEM.are_predictions(by_shop).all()


def test_a_matrix_says_what_predictions_are_worth() -> None:
    """By true and predicted class, also where labels are numbers; a class that there is not is named."""
    scores = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    rows = pd.DataFrame({"grade": [1, 1, 2], **PROBLEM.columns(scores)})
    value = Value(matrix={"1": {"1": 10, "2": -3}, "2": {"high": -0.5}}, currency="EUR")
    assert PROBLEM.realised_value(value, rows, "grade") == {"rows": 3, "amount": 6.5, "currency": "EUR"}
    wrong = Value(matrix={"one": {"1": 10}})
    assert "value.matrix names 'one'; classes are '1', '2', 'high'" in PROBLEM.worthless(wrong)
    with pytest.raises(ConfigurationError, match="names 'one'"):
        PROBLEM.realised_value(wrong, rows, "grade")


def test_rare_classes_may_count_the_same() -> None:
    """Weights as scikit-learn balances them, times those that are declared; by default there are none."""
    from sklearn.utils.class_weight import compute_sample_weight

    label = pd.Series(["1", "2", "1", "1", "high", "2"], name="grade")
    balanced = MulticlassClassification(classes=PROBLEM.classes, balance=True)
    weights = balanced.training_weights(label, None)
    np.testing.assert_allclose(np.asarray(weights), compute_sample_weight("balanced", label))
    declared = pd.Series([1.0, 2.0, 3.0, 0.0, 1.0, 2.0])
    weights = balanced.training_weights(label, declared)
    assert weights is not None and weights.sum() == pytest.approx(declared.sum())
    assert weights.groupby(label).sum().to_list() == pytest.approx([3.0, 3.0, 3.0])
    assert weights[2] == pytest.approx(3 * weights[0])
    assert PROBLEM.training_weights(label, None) is None and PROBLEM.training_weights(label, declared) is declared
