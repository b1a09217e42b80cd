"""A 95 % interval holds the true value in 95 % of samples: simulated for each kind of problem.

The population's value is that of very many rows. Then samples of a usual size are drawn, and it is counted in how many
of them the bootstrap interval holds it.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from airflow_mlops_provider.extensions import PROBLEMS
from airflow_mlops_provider.problems import statistics
from tests.factories.kinds import KINDS, kind_of

SAMPLES = 500
POPULATION = 400_000
#: Where this is set, of each kind's other metrics, too.
ALL = "MLOPS_TEST_PRODUCTS"
MOST = None if os.environ.get(ALL) else 1
CASES = [(name, metric) for name, kind in KINDS.items() for metric in kind.metrics[:MOST]]


def test_every_kind_is_simulated() -> None:
    """Whoever adds a kind of problem adds a population of it."""
    assert {*PROBLEMS.builtin} == {*KINDS}


@pytest.mark.parametrize(("name", "metric"), CASES)
def test_intervals_hold_the_truth(name: str, metric: str) -> None:
    """In 93 to 97 % of the samples: neither too sure nor too careful."""
    problem, kind = kind_of(name), KINDS[name]
    truth, score, _ = kind.plant(np.random.default_rng(1), POPULATION)
    true = statistics.measure(problem, metric, truth, score)
    held = 0
    for seed in range(SAMPLES):
        truth, score, _ = kind.plant(np.random.default_rng([2, seed]), kind.rows)
        estimate = statistics.bootstrap(problem, metric, truth, {"model": score}, seed)["model"]
        held += estimate.low <= true <= estimate.high
    assert 0.93 <= held / SAMPLES <= 0.97, held / SAMPLES
