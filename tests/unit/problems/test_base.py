"""A second kind of problem is one class in a file of its own: everything that judges follows its metric's direction."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import extensions, problems
from airflow_mlops_provider.exceptions import ConfigurationError, DataValidationError, UnknownNameError
from airflow_mlops_provider.lifecycle.monitoring.limits import crossed_by_metric
from airflow_mlops_provider.lifecycle.problem import Metric, metric_of
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation
from airflow_mlops_provider.lifecycle.release.gates import judge, short_of_baseline
from airflow_mlops_provider.lifecycle.sections import Gates
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Problem, Truth
from flight_delay.product import product
from tests.factories.declared import changed

if TYPE_CHECKING:
    from airflow_mlops_provider.problems.base import Floats


class Regression(Problem):
    """How much something will be."""

    metrics = (Metric("mean_absolute_error", higher_is_better=False, high=1e6),)
    label_type = "float64"

    def labels(self, label: pd.Series) -> pd.Series:
        return label.astype("float64")

    def learnable(self, label: pd.Series, rows: str) -> pd.Series:
        return self.labels(label)

    def weighted(self, metric: str, truth: Truth, score: Floats) -> Callable[[Floats], Floats]:
        return lambda weights: (weights @ np.abs(truth.label - score)) / weights.sum(axis=1)


PROBLEM = Regression()
HERE = f"{__name__}:PROBLEM"
ERROR = "mean_absolute_error"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """This file can be imported by the name that its problem is declared with."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


def frame(rows: int = 400) -> pd.DataFrame:
    """Return days whose number of riders depends on the weather."""
    random = np.random.default_rng(3)
    weather = random.choice(["rain", "sun"], rows)
    return pd.DataFrame(
        {"weather": weather, "riders": np.where(weather == "sun", 90.0, 30.0) + random.normal(0, 9, rows)}
    )


def evaluated(error: float, champion_error: float) -> Evaluation:
    """Return the evaluation of a challenger that is off by so much, against a champion and the overall mean."""
    days, random = frame(), np.random.default_rng(4)
    label = days["riders"].to_numpy()
    noise = random.normal(0, 1, len(label))
    scores = {
        "challenger": label + error * noise,
        "champion": label + champion_error * noise,
        "baseline": PROBLEM.baseline(days, days, "riders", None),
    }
    return Evaluation(
        metric=ERROR,
        window="May",
        rows=len(days),
        **statistics.bootstrap(PROBLEM, ERROR, label, scores, 0),
        champion_version=1,
        gain=statistics.gain(PROBLEM, ERROR, label, scores["challenger"], scores["champion"], 0),
        slices=statistics.by_slice(PROBLEM, ERROR, days["weather"], label, scores["challenger"], 100)[0],
    )


def test_its_numbers_are_those_of_its_own_metric() -> None:
    """Interval, gain and slices come of the metric alone; nothing asks for two classes."""
    better = evaluated(error=3, champion_error=6)
    assert better.challenger.low < better.challenger.value < better.challenger.high < better.baseline.low
    assert better.gain is not None and better.gain.low > 0
    assert better.gain.value == pytest.approx(better.champion.value - better.challenger.value)  # type: ignore[union-attr]
    assert set(better.slices) == {"rain", "sun"}
    same = statistics.by_slice(PROBLEM, ERROR, ["a"] * 3, [5.0] * 3, [4.0] * 3, min_rows=3)
    assert same == ({"a": {"rows": 3, "value": 1.0}}, {})
    few = statistics.by_slice(PROBLEM, ERROR, ["a"] * 2, [5.0] * 2, [4.0] * 2, min_rows=3)
    assert few == ({}, {"fewer than 3 rows": {"a": 2}})
    with pytest.raises(DataValidationError, match="none of 0 rows is there to judge by"):
        statistics.measure(PROBLEM, ERROR, [], [])


def test_its_baseline_is_the_mean_of_each_group() -> None:
    """What was never seen gets the mean of all."""
    train = pd.DataFrame({"weather": ["rain", "rain", "sun"], "riders": [10.0, 20.0, 60.0]})
    rows = pd.DataFrame({"weather": ["sun", "rain", "snow"]})
    assert list(PROBLEM.baseline(train, rows, "riders", "weather")) == [60.0, 15.0, 30.0]


@pytest.mark.parametrize(
    ("evaluation", "gates", "reason"),
    [
        (evaluated(3, 6), Gates(min_metric=5, min_slice=5, slice_rows=100), None),
        (evaluated(9, 12), Gates(min_metric=5), f"{ERROR} .* is above the gate 5"),
        (evaluated(3, 2), Gates(min_metric=5), "gain -.* over champion v1 is below 0"),
        (evaluated(50, 60), Gates(min_metric=100), "does not clear the naive baseline"),
        (evaluated(3, 6), Gates(min_metric=5, min_slice=1, slice_rows=100), "in slice (rain|sun) is above 1"),
    ],
)
def test_the_gates_follow_its_direction(evaluation: Evaluation, gates: Gates, reason: str | None) -> None:
    """A smaller error passes, a larger one than each gate does not."""
    metric = PROBLEM.metric(ERROR)
    decision = judge(evaluation, gates, metric)
    assert decision.passed == (reason is None)
    if reason:
        assert any(re.search(reason, said) for said in decision.reasons)
    assert (short_of_baseline(evaluation, metric) is None) == (reason != "does not clear the naive baseline")


def test_monitoring_follows_its_direction() -> None:
    """An error at its limit is well; a larger one has crossed it."""
    assert crossed_by_metric(4.0, 4.0, PROBLEM.metric(ERROR)) == ()
    assert crossed_by_metric(4.1, 4.0, PROBLEM.metric(ERROR)) == ("metric on arrived labels rose to 4.1000, limit 4.0",)


# --- found by name ----------------------------------------------------------------------------------------------------


def test_a_product_may_declare_it() -> None:
    """An import path is enough: metric and limits are held to what that problem says."""
    declared = {"problem": HERE, "evaluation.metric": ERROR, "monitoring.min_metric": 40, "search": None}
    declared |= {"evaluation.gates": Gates(min_metric=25, min_gain=-2)}
    assert problems.find(changed(product, declared).problem) is PROBLEM
    for changes, said in (
        ({"evaluation.metric": "roc_auc"}, f"unknown metric 'roc_auc'; known: {ERROR}"),
        ({"evaluation.gates.min_metric": -1}, rf"gates\.min_metric=-1 can't be: {ERROR} lies from 0 to 1e\+06"),
    ):
        with pytest.raises(ValueError, match=said):
            changed(product, {**declared, **changes})


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another distribution is installed, whose entry point names the problem above."""
    dist = tmp_path / "others-1.0.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text(f"[airflow_mlops.problems]\ndemand = {HERE}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    extensions._elsewhere.cache_clear()
    extensions._entries.cache_clear()
    yield
    extensions._elsewhere.cache_clear()
    extensions._entries.cache_clear()


@pytest.mark.usefixtures("installed")
def test_found_in_the_folder_by_path_and_by_entry_point() -> None:
    """A file of the folder has its own name; another distribution's has an entry point's; helpers are no problems."""
    assert metric_of("binary_classification", "roc_auc") == Metric("roc_auc")
    assert problems.find(HERE) is PROBLEM
    assert problems.find("demand") is PROBLEM
    for name in ("statistics", "base", "clustering"):
        with pytest.raises(UnknownNameError, match=f"'{name}'; known: .*binary_classification, demand, "):
            problems.find(name)
    with pytest.raises(ConfigurationError, match=r"'math:pi' names 3\.14.*, which is no Problem"):
        problems.find("math:pi")
    with pytest.raises(ValueError, match="problem 'math:tau2' can't be loaded: AttributeError"):
        problems.find("math:tau2")


def test_finding_one_loads_no_numpy() -> None:
    """Declarations are checked while DAGs are parsed: a problem's facts cost nothing."""
    code = (
        "import sys\nfrom airflow_mlops_provider.lifecycle.problem import metric_of\n"
        "assert metric_of('binary_classification', 'log_loss').higher_is_better is False\n"
        "print([m for m in ('numpy', 'pandas', 'airflow') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
