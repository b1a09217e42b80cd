"""Several labels a row: what the text may hold, what trainers are given, what is said and answered, and its worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from airflow_mlops_provider import MultilabelClassification, Value, problems
from airflow_mlops_provider.exceptions import ConfigurationError, PartError, SourceDataError
from airflow_mlops_provider.lifecycle.problem import ProblemDeclaration
from airflow_mlops_provider.problems.base import PREDICTION

PROBLEM = MultilabelClassification(labels=("urgent", "billing", "3"))


def test_labels_are_put_in_order() -> None:
    """In whatever order they come, and twice; empty text is none of them, and what is missing is not known."""
    given = pd.Series(["billing|urgent", "", None, "3", "urgent|urgent", np.nan], name="topics", index=range(2, 8))
    made = PROBLEM.labels(given)
    assert list(made) == ["urgent|billing", "", None, "3", "urgent", None] and list(made.index) == [*range(2, 8)]
    assert list(PROBLEM.labels(pd.Series([3, 3.0, np.nan]))) == ["3", "3", None]
    assert list(PROBLEM.labels(pd.Series([None, None], dtype=object))) == [None, None]


def test_a_trainer_is_given_a_column_for_each() -> None:
    """1 where a row has it; metrics are given the same as numbers."""
    rows = pd.DataFrame({"topics": ["billing|urgent", "", "3"]}, index=[4, 5, 6])
    expected = pd.DataFrame({"urgent": [1, 0, 0], "billing": [1, 0, 0], "3": [0, 0, 1]}, index=[4, 5, 6])
    pd.testing.assert_frame_equal(PROBLEM.numbers(rows["topics"]), expected)
    np.testing.assert_array_equal(PROBLEM.truth(rows, "topics").label, expected.to_numpy(float))


def test_another_label_is_refused() -> None:
    """Column, labels and the declared ones are named; so is text with another separator."""
    for values, seen in (
        (["urgent|spam", "spam", ""], r"'spam' \(2 times\)"),
        (["urgent, billing"], "'urgent, billing'"),
        (["urgent|"], r"'' \(1 times\)"),
    ):
        said = f"label 'topics' holds {seen}.*declared labels: urgent, billing, 3"
        with pytest.raises(SourceDataError, match=said):
            PROBLEM.labels(pd.Series(values, name="topics"))
    semicolons = MultilabelClassification(labels=("urgent", "billing"), separator="; ")
    assert list(semicolons.labels(pd.Series(["billing; urgent"]))) == ["urgent; billing"]


def test_what_cannot_be_learnt_from_is_named() -> None:
    """A gap, or the same in all rows."""
    with pytest.raises(SourceDataError, match="'topics' is missing in 1 of 2 rows of May"):
        PROBLEM.learnable(pd.Series(["3", None], name="topics"), "May")
    with pytest.raises(SourceDataError, match=r"'topics' is '' \(2 times\) in all 2 rows of May"):
        PROBLEM.learnable(pd.Series(["", ""], name="topics"), "May")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": ("a",)}, "at least two labels"),
        ({"labels": ("a", "a")}, "labels twice: a"),
        ({"labels": ("a", "b|c")}, r"label 'b\|c' holds the separator '\|'"),
        ({"labels": ("a", "b"), "separator": ""}, "separator"),
        ({"labels": ("a", "b"), "threshold": 2}, "threshold"),
        ({"labels": ("a", "b"), "names": ("a",)}, "names"),
    ],
)
def test_a_wrong_declaration_is_refused(options: dict[str, Any], said: str) -> None:
    """When it is made, as it is when a product declares it."""
    with pytest.raises(ValidationError, match=said):
        MultilabelClassification(**options)
    with pytest.raises(ValidationError, match=said):
        problems.find(ProblemDeclaration(kind="multilabel_classification", **options))


def test_a_declaration_travels_as_json() -> None:
    """Under the names that it was declared with; without labels nothing can be done."""
    declared = MultilabelClassification(labels=("a", "b"), separator=",")
    assert declared.options == {"labels": ["a", "b"], "separator": ","}
    again = problems.find(ProblemDeclaration(kind="multilabel_classification", **declared.options))
    assert again.outputs == declared.outputs == ("probability_a", "probability_b")
    with pytest.raises(PartError, match=r"needs labels: declare MultilabelClassification\(labels=…\)"):
        problems.find("multilabel_classification")


def test_what_are_no_probabilities_is_refused() -> None:
    """Each of its own is from 0 to 1, whatever the sum, and there is one for each label."""
    good = np.array([[1.0, 0.9, 0.0]])
    assert PROBLEM.checked(good) is good
    assert PROBLEM.checked(np.empty(0)).shape == (0, 3)
    for given in ([[0.5, 0.5]], [0.5], [[0.5, 1.1, 0.5]], [[0.5, np.nan, 0.5]]):
        with pytest.raises(ConfigurationError, match="let the trainer learn a probability for each label"):
            PROBLEM.checked(np.array(given))


def test_what_is_written_and_answered() -> None:
    """A table has the labels as text and each probability, an answer a list of them."""
    scores = np.array([[0.5, 0.7, 0.1], [0.2, 0.4, 0.3]])
    table = pd.DataFrame(PROBLEM.columns(scores))
    assert list(table.columns) == [PREDICTION, "probability_urgent", "probability_billing", "probability_3"]
    assert list(table[PREDICTION]) == ["urgent|billing", ""]
    assert PROBLEM.answers(scores) == [
        {PREDICTION: ["urgent", "billing"], "probabilities": {"urgent": 0.5, "billing": 0.7, "3": 0.1}},
        {PREDICTION: [], "probabilities": {"urgent": 0.2, "billing": 0.4, "3": 0.3}},
    ]
    assert list(PROBLEM.headline(scores)) == [0.7, 0.4]


def test_the_baseline_is_how_frequent_labels_are() -> None:
    """By a column, too."""
    train = pd.DataFrame({"shop": [*"aab"], "topics": ["urgent", "", "3|urgent"]})
    rows = pd.DataFrame({"shop": ["a", "b", "c"]})
    overall = [2 / 3, 0.0, 1 / 3]
    np.testing.assert_allclose(PROBLEM.baseline(train, rows, "topics", None), [overall] * 3)
    np.testing.assert_allclose(PROBLEM.baseline(train, rows, "topics", "shop"), [[0.5, 0, 0], [1, 0, 1], overall])


def test_a_matrix_says_what_each_label_is_worth() -> None:
    """A hit, a miss and a false alarm of a label: it by itself, without, or with it only said."""
    scores = np.array([[0.9, 0.9, 0.0], [0.1, 0.9, 0.0]])
    rows = pd.DataFrame({"topics": ["urgent", "urgent|billing"], **PROBLEM.columns(scores)})
    value = Value(matrix={"urgent": {"urgent": 5, "": -20}, "billing": {"billing": 1}, "": {"billing": -2}})
    assert PROBLEM.realised_value(value, rows, "topics") == {"rows": 2, "amount": 5 - 2 - 20 + 1, "currency": "USD"}
    assert "names 'spam'" in PROBLEM.worthless(Value(matrix={"spam": {"": 1}}))
