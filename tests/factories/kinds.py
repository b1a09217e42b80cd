"""For each kind of problem rows of a known population, with the scores of two models, of which the better is known.

Whoever adds a kind adds it to :data:`KINDS`: tests that hold every kind to the same go through it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from airflow_mlops_provider import problems
from airflow_mlops_provider.lifecycle.problem import ProblemDeclaration
from airflow_mlops_provider.problems.base import Problem, Truth
from airflow_mlops_provider.problems.forecasting.blocks import numbered


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


def amounts(random: np.random.Generator, rows: int) -> Planted:
    """Return rows whose label is a mean that both models know somewhat, and noise that grows with it."""
    mean = random.gamma(4.0, 2.0, rows)
    label = mean + random.normal(0, 0.5 + 0.1 * mean)
    better, worse = (mean + random.normal(0, error, rows) for error in (0.5, 2.0))
    return Planted(Truth(label), better, worse)


def forecasts(random: np.random.Generator, days: int) -> Planted:
    """Return a row a day and store, two days ahead, of two stores to which much of what happens is common.

    What is left to a forecast are the shocks of two days, so that errors of neighbouring days share one, and something
    that lasts.
    """
    moments = pd.Series(pd.date_range("1700-01-01", periods=days, unit="s").repeat(2))
    shocks = np.repeat(random.normal(0, 2, days + 1), 2) + random.normal(0, 1, 2 * days + 2)
    lasting = np.repeat(lfilter([1.0], [1.0, -0.5], random.normal(0, 1, days)), 2)
    error = shocks[2:] + shocks[:-2] + lasting
    label = 50 + random.normal(0, 8, 2 * days)
    ahead = pd.Series(pd.Timedelta(days=2), index=moments.index)
    block = numbered(moments, ahead, timedelta(days=7))
    truth = Truth(label, block, scale=np.tile([6.0, 9.0], days))
    return Planted(truth, label + error, label + 1.5 * error)


def queries(random: np.random.Generator, count: int) -> Planted:
    """Return queries of two to twenty rows, some without a relevant one; scores are rounded, so that some tie."""
    query = np.repeat(np.arange(count), random.integers(2, 21, count))
    known = random.normal(0, 1, len(query))
    label = np.clip(np.round(known + random.normal(-1, 0.7, len(query))), 0, 3)
    better, worse = ((known + random.normal(0, error, len(query))).round(1) for error in (0.7, 2.0))
    return Planted(Truth(label, query), better, worse)


KINDS: dict[str, Kind] = {
    "anomaly_detection": Kind(
        {"alert_rate": 0.1, "threshold": 1.0}, anomalies, ("average_precision", "precision_at_alert_rate"), rows=1000
    ),
    "multiclass_classification": Kind({"classes": ["high", "middle", "low"]}, multiclass, ("log_loss", "macro_f1")),
    "multilabel_classification": Kind(
        {"labels": ["urgent", "billing", "spam"]}, multilabel, ("hamming_loss", "macro_f1")
    ),
    "binary_classification": Kind({}, binary, ("roc_auc", "average_precision", "log_loss")),
    "forecasting": Kind(
        {"horizon": "P2D", "season": "P7D"},
        forecasts,
        ("mean_absolute_error", "mean_absolute_scaled_error", "weighted_absolute_percentage_error"),
        rows=600,
    ),
    "ranking": Kind({"group": "query"}, queries, ("ndcg", "mean_reciprocal_rank", "mean_average_precision"), rows=150),
    "regression": Kind(
        {}, amounts, ("mean_absolute_error", "root_mean_squared_error", "median_absolute_error", "r2"), rows=600
    ),
}
