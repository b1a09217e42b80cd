"""A better model passes and a worse one does not, by every metric of every kind: gates, searches, retuning, monitoring.

What decides looks at the metric's direction alone; here each metric's own values of two models are put before it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from airflow_mlops_provider.backends.search.optuna.study import SearchStudy
from airflow_mlops_provider.extensions import PROBLEMS
from airflow_mlops_provider.lifecycle.monitoring.limits import crossed_by_metric
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation
from airflow_mlops_provider.lifecycle.release.gates import Decision, judge, short_of_baseline
from airflow_mlops_provider.lifecycle.search.conclusion import conclude
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Criteria, IntRange, Pruning
from airflow_mlops_provider.lifecycle.search.retuning import conclude_retuning
from airflow_mlops_provider.lifecycle.search.trials import Trial, best_of, stop
from airflow_mlops_provider.lifecycle.sections import Gates
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Problem
from tests.factories.kinds import KINDS, Planted, kind_of

ROWS = 2000
PROBLEM_OF = {name: kind_of(name) for name in PROBLEMS.builtin}
CASES = [(name, metric.name) for name, problem in PROBLEM_OF.items() for metric in problem.available_metrics]


class Models:
    """Two models of a kind on the same rows, and their values of a metric; the worse one stands for the baseline."""

    def __init__(self, name: str, metric: str) -> None:
        self.problem: Problem = PROBLEM_OF[name]
        self.metric: Metric = self.problem.metric(metric)
        self.planted: Planted = KINDS[name].plant(np.random.default_rng(5), ROWS)
        self.better, self.worse = (
            statistics.measure(self.problem, metric, self.planted.truth, scores)
            for scores in (self.planted.better, self.planted.worse)
        )
        self.between = (self.better + self.worse) / 2

    def evaluated(self, challenger: Any, champion: Any) -> Evaluation:
        """Return what an evaluation finds of them."""
        metric, truth = self.metric.name, self.planted.truth
        scores = {"challenger": challenger, "champion": champion, "baseline": self.planted.worse}
        return Evaluation(
            metric=metric,
            window="May",
            rows=ROWS,
            **statistics.bootstrap(self.problem, metric, truth, scores, 7),
            champion_version=1,
            gain=statistics.gain(self.problem, metric, truth, challenger, champion, 7),
        )


@pytest.fixture(params=CASES, ids="-".join)
def models(request: pytest.FixtureRequest) -> Models:
    return Models(*request.param)


def trial(slot: int, value: float) -> Trial:
    """Return a trial that reached a value."""
    ended = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=slot)
    return Trial(slot=slot, state="complete", value=value, ended=ended, params={"depth": slot})


def test_the_planted_model_is_better(models: Models) -> None:
    """The two models differ by more than their intervals, in the metric's direction, and both values are its own."""
    assert models.metric.better(models.better, models.worse)
    assert models.metric.allows(models.better) and models.metric.allows(models.worse)
    gain = models.evaluated(models.planted.better, models.planted.worse).gain
    assert gain is not None and gain.low > 0
    assert gain.value == pytest.approx(abs(models.better - models.worse))


def test_the_gates_let_the_better_one_through(models: Models) -> None:
    """It clears the baseline, the limit and the champion; against itself it gains nothing, and no more is needed."""
    gates, better, worse = Gates(min_metric=models.between), models.planted.better, models.planted.worse
    for champion in (worse, better):
        evaluation = models.evaluated(better, champion)
        decision: Decision = judge(evaluation, gates, models.metric)
        assert decision.passed, decision.reasons
        assert short_of_baseline(evaluation, models.metric) is None


def test_the_gates_stop_the_worse_one(models: Models) -> None:
    """By each gate: the limit, the baseline, and the champion that is better."""
    evaluation = models.evaluated(models.planted.worse, models.planted.better)
    decision = judge(evaluation, Gates(min_metric=models.between), models.metric)
    assert not decision.passed
    for why in (f"is {models.metric.missed} the gate", "does not clear the naive baseline", "champion v1 is below 0"):
        assert any(why in reason for reason in decision.reasons), why


def test_a_search_goes_for_the_better_one(models: Models) -> None:
    """It is the best trial, ends the search at its target, is worth exporting, and nothing later is a gain over it."""
    better, worse, metric = trial(1, models.better), trial(0, models.worse), models.metric
    assert best_of([worse, better], metric) is better
    reached = stop(Criteria(trials=9, target=models.between), [worse, better], metric)
    assert reached is not None and (reached.kind, reached.after) == ("target", 2)
    patient = Criteria(trials=9, patience=2)
    idle = stop(patient, [trial(0, models.better), trial(1, models.worse), trial(2, models.worse)], metric)
    assert idle is not None and (idle.kind, idle.after) == ("patience", 3)
    assert stop(patient, [worse, better, trial(2, models.worse)], metric) is None
    assert conclude(Criteria(trials=2), [worse, better], models.between, 0, metric).broken == ()
    assert len(conclude(Criteria(trials=2), [better, worse], models.worse, 1, metric).broken) == 1
    bad = conclude(Criteria(trials=1), [worse], models.between, None, metric)
    assert bad.broken and bad.needs_data_change


def test_what_falls_behind_is_pruned(models: Models) -> None:
    """A trial that reports the worse value is given up; the one with the better is not."""
    study, pruning = SearchStudy("kinds", maximize=models.metric.higher_is_better), Pruning(after_trials=1, from_step=1)
    study.open(3)
    algorithm = Algorithm(name="trees", code="somewhere:train", space={"depth": IntRange(low=1, high=9)})
    reasons = []
    for slot, value in enumerate((models.between, models.worse, models.better)):
        study.begin(slot, [algorithm], seed=3)
        reasons.append(study.report(slot, 1, value, pruning))
        study.end(slot, "complete", value=value, seconds=1.0)
    assert [bool(reason) for reason in reasons] == [False, True, False]


def test_retuning_keeps_what_is_better(models: Models) -> None:
    """Other settings replace the fixed ones where they are better, and only there."""
    fixed = {"depth": 0}
    changed = conclude_retuning(fixed, models.metric, [trial(0, models.worse), trial(1, models.better)], "")
    assert changed.settings == {"depth": 1} and changed.best == models.better
    assert not conclude_retuning(fixed, models.metric, [trial(0, models.better), trial(1, models.worse)], "").settings


def test_monitoring_sees_the_worse_one(models: Models) -> None:
    """Its value crosses a limit that the better one's meets."""
    assert crossed_by_metric(models.better, models.between, models.metric) == ()
    went = "fell" if models.metric.higher_is_better else "rose"
    (line,) = crossed_by_metric(models.worse, models.between, models.metric)
    assert f"metric on arrived labels {went} to {models.worse:.4f}" in line


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("anomaly_detection", "precision_score", None),
        ("binary_classification", "f1_score", "f1"),
        ("multiclass_classification", "accuracy_score", "accuracy"),
        ("multilabel_classification", "accuracy_score", "subset_accuracy"),
    ],
)
def test_decisions_may_be_judged_by_anybodys_metric(name: str, theirs: str, ours: str | None) -> None:
    """A function of labels and decisions, as scikit-learn's are, is given both as numbers; its interval, too."""
    problem, planted = PROBLEM_OF[name], KINDS[name].plant(np.random.default_rng(6), 500)
    own = Metric("own", code=f"sklearn.metrics:{theirs}", takes="decisions")
    estimate = statistics.bootstrap(problem, own, planted.truth, {"model": planted.better}, 3, 20)["model"]
    assert estimate.low <= estimate.value <= estimate.high
    if ours:
        assert estimate.value == pytest.approx(statistics.measure(problem, ours, planted.truth, planted.better))


@pytest.mark.parametrize("name", PROBLEM_OF)
def test_row_by_row_is_as_all_together(name: str) -> None:
    """What is said of a row does not depend on the rows beside it; no row is no reason to fail."""
    problem, planted = PROBLEM_OF[name], KINDS[name].plant(np.random.default_rng(6), 50)
    scores = problem.checked(planted.better)
    together = problem.answers(scores)
    assert together == [problem.answers(problem.checked(planted.better[[row]]))[0] for row in range(len(scores))]
    assert problem.answers(problem.checked(planted.better[:0])) == []
