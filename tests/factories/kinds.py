"""For each kind of problem rows of a known population, with the scores of two models, of which the better is known.

Whoever adds a kind adds it to :data:`KINDS`: tests that hold every kind to the same go through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from airflow_mlops_provider import problems
from airflow_mlops_provider.lifecycle.problem import ProblemDeclaration
from airflow_mlops_provider.problems.base import Problem, Truth


class Planted(NamedTuple):
    """Some rows of a population: their truth, and what a good and a bad model say of them."""

    truth: Truth
    better: Any
    worse: Any


class Kind(NamedTuple):
    """A kind of problem with a population.

    :param options: with which it is declared.
    :param plant: draws so many rows, or groups of rows, of the population.
    :param metrics: those whose intervals are held against the population's value.
    :param rows: how many rows, or groups, a sample has whose interval is to hold that value.
    """

    options: dict[str, Any]
    plant: Callable[[np.random.Generator, int], Planted]
    metrics: tuple[str, ...]
    rows: int = 300


def kind_of(name: str) -> Problem:
    """Return a kind of problem with the options of its population."""
    return problems.find(ProblemDeclaration(kind=name, **KINDS[name].options))


def _sigmoid(logit: Any) -> Any:
    return 1 / (1 + np.exp(-logit))


def binary(random: np.random.Generator, rows: int) -> Planted:
    """Return rows of which a third are positive; the better model knows most of their odds, the other nothing."""
    logit = random.normal(-0.8, 2.0, rows)
    label = (random.random(rows) < _sigmoid(logit)).astype(float)
    return Planted(Truth(label), _sigmoid(logit + random.normal(0, 0.5, rows)), random.random(rows))


def multiclass(random: np.random.Generator, rows: int) -> Planted:
    """Return rows of three classes, one of them rare; the better model knows most of their odds."""
    logits = random.normal((0.8, 0.3, -0.8), 1.8, (rows, 3))
    places = (random.random((rows, 1)) > _softmax(logits).cumsum(axis=1)).sum(axis=1).astype(float)
    return Planted(
        Truth(places),
        _softmax(logits + random.normal(0, 0.4, logits.shape)),
        _softmax(random.normal(0, 1, logits.shape)),
    )


def multilabel(random: np.random.Generator, rows: int) -> Planted:
    """Return rows of three labels of different frequency, which often come together."""
    logits = random.normal((0.3, -0.7, -1.2), 1.8, (rows, 3)) + random.normal(0, 1, (rows, 1))
    label = (random.random(logits.shape) < _sigmoid(logits)).astype(float)
    return Planted(Truth(label), _sigmoid(logits + random.normal(0, 0.4, logits.shape)), random.random(logits.shape))


def anomalies(random: np.random.Generator, rows: int) -> Planted:
    """Return rows of which one in eight is an anomaly; a score is any number."""
    label = (random.random(rows) < 0.125).astype(float)
    return Planted(Truth(label), random.normal(1.6 * label, 1.0), random.normal(0, 1, rows))


def _softmax(logits: Any) -> Any:
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


KINDS: dict[str, Kind] = {
    "anomaly_detection": Kind(
        {"alert_rate": 0.1, "threshold": 1.0}, anomalies, ("average_precision", "precision_at_alert_rate"), rows=1000
    ),
    "binary_classification": Kind({}, binary, ("roc_auc", "log_loss")),
    "multiclass_classification": Kind({"classes": ["high", "middle", "low"]}, multiclass, ("log_loss", "macro_f1")),
    "multilabel_classification": Kind(
        {"labels": ["urgent", "billing", "spam"]}, multilabel, ("hamming_loss", "macro_f1")
    ),
}
