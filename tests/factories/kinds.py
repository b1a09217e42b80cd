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


KINDS: dict[str, Kind] = {
    "binary_classification": Kind({}, binary, ("roc_auc", "average_precision", "log_loss")),
}
