"""What each kind of problem gives the gates: how far probabilities or quantiles are off, and what is said of groups."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops_provider import BinaryClassification, MulticlassClassification, Regression, problems
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth
from tests.factories.kinds import KINDS, kind_of

RANDOM = np.random.default_rng(8)
ROWS = 20_000


def test_probabilities_that_come_true_are_calibrated() -> None:
    """Of two classes: what was said happened as often; said a fifth too high it is a fifth off."""
    chance = RANDOM.uniform(0, 0.7, ROWS)
    truth = Truth((RANDOM.random(ROWS) < chance).astype(float))
    kind = BinaryClassification()
    assert kind.calibration(truth, chance) < 0.015
    assert kind.calibration(truth, chance + 0.2) == pytest.approx(0.2, abs=0.015)


def test_of_several_classes_the_most_probable_counts() -> None:
    """How sure a model is of it, against how often it is right."""
    kind = MulticlassClassification(classes=("a", "b", "c"))
    chance = RANDOM.dirichlet((1, 1, 1), ROWS)
    label = (RANDOM.random((ROWS, 1)) > chance.cumsum(axis=1)).sum(axis=1).astype(float)
    assert kind.calibration(Truth(label), chance) < 0.015
    sure = np.eye(3)[chance.argmax(axis=1)]
    wrong = 1 - (chance.argmax(axis=1) == label).mean()
    assert kind.calibration(Truth(label), sure) == pytest.approx(wrong)


@pytest.mark.parametrize(("factor", "off"), [(1.0, 0.0), (0.5, 0.3)])
def test_quantiles_are_held_against_how_many_lie_below(factor: float, off: float) -> None:
    """Of an interval that is half as wide as it should be half as many lie in it, and too few below its ends."""
    kind = Regression(quantiles=(0.2, 0.5, 0.8))
    label = RANDOM.uniform(-1, 1, ROWS)
    scores = np.tile(np.array([-0.6, 0.0, 0.6]) * factor, (ROWS, 1))
    assert kind.calibration(Truth(label), scores) == pytest.approx(off, abs=0.015)


def test_rows_count_as_they_weigh() -> None:
    """A row of weight 0 is as if it was not there."""
    label, weight = np.array([1.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.0])
    chance, kind = np.full(4, 0.5), BinaryClassification()
    assert kind.calibration(Truth(label, weight=weight), chance) == 0
    assert kind.calibration(Truth(label), chance) == 0.25


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_says_what_it_can(name: str) -> None:
    """Whoever decides says 0 or 1 of each row; whoever is calibrated says a distance from 0 to 1."""
    kind, planted = kind_of(name), KINDS[name].plant(np.random.default_rng(3), 300)
    if kind.decides:
        said = kind.said(planted.better)
        assert len(said) == len(planted.truth) and set(np.unique(said)) <= {0.0, 1.0}
    if kind.calibrates:
        assert 0 <= kind.calibration(planted.truth, planted.better) <= 1
    assert problems.find("regression").decides is False


def test_groups_are_compared_by_metric_and_by_what_is_said_of_them() -> None:
    """Of those that are large enough; one of labels of one class has no metric, but a rate."""
    kind = BinaryClassification()
    group = np.array(["a"] * 4 + ["b"] * 4 + ["c"] * 4 + ["d"])
    label = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1.0])
    score = np.array([0.1, 0.2, 0.8, 0.9, 0.6, 0.7, 0.8, 0.4, 0.9, 0.9, 0.9, 0.9, 0.1])
    figures, _ = statistics.by_slice(kind, "roc_auc", group, label, score, 4)
    gap = statistics.gap(kind, group, label, score, 4, figures)
    assert (gap.groups, gap.metric, gap.rate) == (3, 0.5, 0.5)
    alone = statistics.gap(kind, group, label, score, 5, {})
    assert (alone.groups, alone.metric, alone.rate) == (0, None, None)
    amounts = statistics.gap(Regression(), group, label, score, 4, figures)
    assert (amounts.metric, amounts.rate) == (0.5, None)
