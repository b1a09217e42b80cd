"""What classifiers give: the probability of 1, or one for each class, whichever classes they saw."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from airflow_mlops_provider.backends.models.outputs import class_codes, per_class
from airflow_mlops_provider.exceptions import ConfigurationError

TWO = np.array([[0.9, 0.1], [0.25, 0.75]])
THREE = np.array([[0.5, 0.25, 0.25]])


@pytest.mark.parametrize(
    ("given", "classes", "expected"),
    [
        (TWO, [0, 1], [0.1, 0.75]),
        (TWO[:, 1], [0, 1], [0.1, 0.75]),
        (TWO, [0, 2], [[0.9, 0, 0.1], [0.25, 0, 0.75]]),
        (TWO[:, 1], [0, 2], [[0.9, 0, 0.1], [0.25, 0, 0.75]]),
        (TWO, [1, 2], [[0, 0.9, 0.1], [0, 0.25, 0.75]]),
        (THREE, [0, 1, 2], THREE),
        (THREE, [2, 0, 1], [[0.25, 0.25, 0.5]]),
        (THREE, [0, 1, 3], [[0.5, 0.25, 0, 0.25]]),
        (np.ones((2, 1)), [0], [0, 0]),
        (np.ones((2, 1)), [1], [1, 1]),
        (np.zeros(2), [1], [1, 1]),  # a booster of two classes that saw but the second: it calls that the first
        (TWO, None, TWO),  # quantiles, for one
        (TWO[:0], [0, 1], np.empty(0)),
    ],
)
def test_probabilities_go_by_the_classes_codes(given: Any, classes: Any, expected: Any) -> None:
    """Columns are in the order of codes, with zeros for a class that training did not see; two classes have one."""
    np.testing.assert_array_equal(per_class(given, classes), expected)
    assert per_class(given, classes).shape == np.shape(expected)


def test_classes_are_codes() -> None:
    """Whole numbers of any type are codes; names, fractions and several things at once are refused, with what to do."""
    assert class_codes(object()) is None
    assert class_codes(SimpleNamespace(classes_=[])) is None
    for known, codes in (([False, True], [0, 1]), ([0.0, 2.0], [0, 2]), (np.array([1, 3], dtype="int8"), [1, 3])):
        assert class_codes(SimpleNamespace(classes_=np.array(known))) == codes
    for odd in (np.array(["no", "yes"]), np.array(["no", "yes"], dtype=object), np.array([-1, 1]), np.array([0.5, 1])):
        with pytest.raises(ConfigurationError, match=r"classes such as .*; train it on the label as"):
            class_codes(SimpleNamespace(classes_=odd))
    with pytest.raises(ConfigurationError, match="predicts 2 things at once"):
        class_codes(SimpleNamespace(classes_=[np.array([0, 1]), np.array([0, 1])]))


def test_labels_of_which_a_row_has_several_are_no_classes() -> None:
    """Two or more of them: each has its probability, which is left as it is, also at the end of a pipeline."""
    label, rows = np.array([[0, 1], [1, 1], [1, 0], [0, 0]]), np.array([[0.0], [1.0], [2.0], [3.0]])
    for estimator in (OneVsRestClassifier(LogisticRegression()), OneVsRestClassifier(DecisionTreeClassifier())):
        for model in (estimator, make_pipeline(StandardScaler(), estimator)):
            given = model.fit(rows, label).predict_proba(rows)
            assert class_codes(model) is None
            np.testing.assert_array_equal(per_class(given, class_codes(model)), given)
    assert class_codes(OneVsRestClassifier(LogisticRegression()).fit(rows, [0, 1, 2, 2])) == [0, 1, 2]
