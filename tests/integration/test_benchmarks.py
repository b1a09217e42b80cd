"""The benchmarks measure what there is: each runs to its table, with as few turns as it can."""

from __future__ import annotations

import importlib
import os

import pytest

LEAST = {
    "dag_parsing": {"RUNS": 1},
    "model_server": {"TURNS": 1, "SECONDS": 0.5, "ROWS": 800},
    "unchanged_rerun": {"RUNS": 1},
    "feature_store": {"TURNS": 1, "SECONDS": 0.2, "CLIENTS": (8,), "CALLS": {1: 3, 100: 2}},
    "materialization": {"RUNS": 1, "ROWS": 500},
    "training_set": {"RUNS": 1, "ROWS": 5000},
    "soak": {"MINUTES": 0.5},
}


@pytest.mark.skipif("MLOPS_TEST_BENCHMARKS" not in os.environ, reason="MLOPS_TEST_BENCHMARKS=1 has each benchmark run")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(LEAST))
def test_a_benchmark_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prepares its world with the code as it stands; what it measures in one turn is not looked at."""
    benchmark = importlib.import_module(f"benchmarks.{name}")
    for setting, value in LEAST[name].items():
        monkeypatch.setattr(benchmark, setting, value)
    result = benchmark.measure()
    assert result.rows
    assert all(len(row) == len(result.columns) for row in result.rows)
