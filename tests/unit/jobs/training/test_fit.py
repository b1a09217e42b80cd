"""A trainer is given labels as its kind of problem has them, and has to take what that kind needs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider import BinaryClassification, MulticlassClassification, MultilabelClassification, Trainer
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.jobs.training import fit as training
from airflow_mlops_provider.problems.anomaly_detection import AnomalyDetection
from airflow_mlops_provider.problems.base import Problem

ROWS = pd.DataFrame({"hour": [1.0, 2.0, 3.0]})
TRAINER = Trainer(code="somewhere:train", settings={"rounds": 3})


def fitted(monkeypatch: pytest.MonkeyPatch, function: Any, problem: Problem, label: Any, **further: Any) -> Any:
    """Return what a trainer returns."""
    monkeypatch.setattr(training, "load", lambda code: function)
    label = pd.Series(label, name="truth")
    return training.fit(TRAINER, problem, ROWS, label, SimpleNamespace, **further)


def test_labels_are_given_as_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places of classes, a column for each label, NaN where nobody knows; those of later rows, too."""

    def train(features: Any, label: Any, settings: Any, seed: int, validation: Any = None) -> Any:
        return label, None if validation is None else validation[1]

    classes = MulticlassClassification(classes=("low", "high"))
    later = (ROWS[:1], pd.Series(["high"]))
    label, known = fitted(monkeypatch, train, classes, ["high", "low", "high"], validation=later)
    assert list(label) == [1, 0, 1] and list(known) == [1]
    topics = MultilabelClassification(labels=("urgent", "billing"))
    table, _ = fitted(monkeypatch, train, topics, ["billing|urgent", "", "urgent"])
    assert table.to_dict("list") == {"urgent": [1, 0, 1], "billing": [1, 0, 0]}
    odd, _ = fitted(monkeypatch, train, AnomalyDetection(), [None, 1, None])
    assert odd.isna().tolist() == [True, False, True] and odd[1] == 1.0


def test_weights_have_to_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer that takes none can't balance classes, and ignores what the label declares: it is refused."""

    def without(features: Any, label: Any, settings: Any, seed: int) -> None: ...

    def with_weights(features: Any, label: Any, settings: Any, seed: int, weight: Any) -> Any:
        return weight

    weights = pd.Series([1.0, 0.5, 0.5])
    balanced = BinaryClassification(kind="binary_classification", balance=True)
    assert fitted(monkeypatch, with_weights, balanced, [1, 0, 0], weight=weights) is weights
    assert fitted(monkeypatch, without, BinaryClassification(), [1, 0, 0], weight=None) is None
    for problem in (balanced, BinaryClassification()):
        with pytest.raises(ConfigurationError, match=r"somewhere:train takes no weight, .* have weights"):
            fitted(monkeypatch, without, problem, [1, 0, 0], weight=weights)
