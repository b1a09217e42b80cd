"""Intervals of amounts hold the truth, with each set of options; of forecasts they would not without blocks of time."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from airflow_mlops_provider import Regression
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Problem, Truth
from tests.factories.kinds import KINDS, kind_of

ALL = "MLOPS_TEST_PRODUCTS"
pytestmark = pytest.mark.skipif(not os.environ.get(ALL), reason=f"{ALL}=1 has more intervals simulated: a minute")
SAMPLES = 500
POPULATION = 400_000
Plant = Callable[[np.random.Generator, int], tuple[Truth, np.ndarray]]


def held(problem: Problem, metric: str, plant: Plant, rows: int) -> float:
    """Return in which share of samples the interval holds the population's value."""
    true = statistics.measure(problem, metric, *plant(np.random.default_rng(1), POPULATION))
    count = 0
    for seed in range(SAMPLES):
        truth, score = plant(np.random.default_rng([2, seed]), rows)
        estimate = statistics.bootstrap(problem, metric, truth, {"model": score}, seed)["model"]
        count += estimate.low <= true <= estimate.high
    return count / SAMPLES


def counts(random: np.random.Generator, rows: int) -> tuple[Truth, np.ndarray]:
    """Return counts, most of them small, and a model that knows their mean somewhat."""
    mean = random.gamma(2.0, 1.0, rows)
    return Truth(random.poisson(mean).astype(float)), mean * random.gamma(20, 1 / 20, rows)


def quantiles(random: np.random.Generator, rows: int) -> tuple[Truth, np.ndarray]:
    """Return amounts, and three quantiles of a model that is a little too sure."""
    mean = random.normal(10, 3, rows)
    score = mean[:, None] + np.array([-1.1, 0.0, 1.1])
    return Truth(mean + random.normal(0, 1, rows)), score


def weighted(random: np.random.Generator, rows: int) -> tuple[Truth, np.ndarray]:
    """Return amounts of which some rows count three times as much as others."""
    truth, score, _ = KINDS["regression"].plant(random, rows)
    return replace(truth, weight=random.choice([1.0, 3.0], len(truth))), score


def houses(random: np.random.Generator, count: int) -> tuple[Truth, np.ndarray]:
    """Return rows of houses of differing sizes; an error of a house is in all of its rows."""
    house = np.repeat(np.arange(count), random.integers(1, 12, count))
    label = random.normal(10, 3, len(house))
    return Truth(label, house), label + random.normal(0, 1, count)[house] + random.normal(0, 0.5, len(house))


BY_QUANTILES = Regression(quantiles=(0.1, 0.5, 0.9))


@pytest.mark.parametrize(
    ("problem", "metric", "plant", "rows"),
    [
        (Regression(loss="poisson"), "mean_poisson_deviance", counts, 300),
        (BY_QUANTILES, "pinball_loss", quantiles, 300),
        (BY_QUANTILES, "coverage", quantiles, 300),
        (BY_QUANTILES, "interval_score", quantiles, 300),
        (Regression(), "mean_absolute_error", weighted, 300),
        (Regression(group="house"), "mean_absolute_error", houses, 100),
    ],
)
def test_intervals_hold_the_truth(problem: Problem, metric: str, plant: Plant, rows: int) -> None:
    """In 93 to 97 % of the samples."""
    assert 0.93 <= held(problem, metric, plant, rows) <= 0.97


def forecast(random: np.random.Generator, days: int) -> tuple[Truth, np.ndarray]:
    """Return forecasts whose errors are alike on neighbouring days and in both stores."""
    truth, score, _ = KINDS["forecasting"].plant(random, days)
    return truth, score


def as_if_independent(random: np.random.Generator, days: int) -> tuple[Truth, np.ndarray]:
    """Return the same, each row by itself."""
    truth, score = forecast(random, days)
    return replace(truth, group=None), score


def day_by_day(random: np.random.Generator, days: int) -> tuple[Truth, np.ndarray]:
    """Return the same, only the stores of a day together."""
    truth, score = forecast(random, days)
    return replace(truth, group=np.arange(len(truth)) // 2), score


@pytest.mark.parametrize(("plant", "least", "most"), [(as_if_independent, 0.0, 0.85), (day_by_day, 0.85, 0.93)])
def test_without_blocks_intervals_are_too_sure(plant: Plant, least: float, most: float) -> None:
    """Neighbouring days tell much the same: taken for independent, they make an interval that often misses."""
    problem, kind = kind_of("forecasting"), KINDS["forecasting"]
    assert least < held(problem, "mean_absolute_error", plant, kind.rows) < most


@pytest.mark.parametrize("days", [41, 90])
def test_few_blocks_hold_it_nearly(days: int) -> None:
    """Of twenty, which are shorter than four horizons as the window is short, a little less than 95 %."""
    truth, _ = forecast(np.random.default_rng(1), days)
    assert truth.group is not None
    assert truth.group.max() + 1 == 21
    assert 0.9 <= held(kind_of("forecasting"), "mean_absolute_error", forecast, days) <= 0.97
