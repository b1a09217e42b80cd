"""The metrics of ranking equal scikit-learn's, query by query; equal scores count as what any order would give."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import sklearn.metrics

from airflow_mlops_provider import Ranking
from airflow_mlops_provider.exceptions import DataValidationError
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth

RANKING = Ranking(group="query", at=5)
METRICS = [metric.name for metric in RANKING.metrics]


def case(queries: int = 300, decimals: int = 1, seed: int = 1) -> tuple[Truth, np.ndarray]:
    """Return queries of 2 to 30 rows in any order, some without a relevant row; few decimals make many ties."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(queries), random.integers(2, 31, queries))
    random.shuffle(group)
    label = random.choice([0.0, 0.0, 0.0, 0.0, 1.0, 2.0], len(group)) * (group % 7 > 0)
    return Truth(label, group), (0.3 * label + random.normal(0, 0.4, len(group))).round(decimals)


def by_query(truth: Truth, score: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return number, labels and scores of each query that has a relevant row."""
    assert truth.group is not None
    parts = [(number, truth.group == number) for number in np.unique(truth.group)]
    return [(number, truth.label[rows], score[rows]) for number, rows in parts if truth.label[rows].any()]


def first_relevant(label: np.ndarray, score: np.ndarray) -> float:
    """Return the reciprocal rank, the mean over all orders of rows with equal scores."""
    values = []
    for order in permutations(range(len(label))):
        ordered = score[[*order]]
        if (np.diff(ordered) <= 0).all():
            values.append(1 / (1 + np.argmax(label[[*order]] > 0)))
    return float(np.mean(values))


def theirs(metric: str, label: np.ndarray, score: np.ndarray) -> float:
    """Return scikit-learn's value of one query; of the reciprocal rank it has none."""
    if metric == "ndcg":
        return float(sklearn.metrics.ndcg_score(label[None, :], score[None, :], k=RANKING.at))
    if metric == "mean_average_precision":
        return float(sklearn.metrics.average_precision_score(label > 0, score))
    best = score == score[label > 0].max()
    before, tied, relevant = (score > score[best][0]).sum(), best.sum(), (best & (label > 0)).sum()
    chance, value = 1.0, 0.0
    for place in range(tied - relevant + 1):
        hit = relevant / (tied - place)
        value += chance * hit / (before + place + 1)
        chance *= 1 - hit
    return value


@pytest.mark.parametrize("decimals", [0, 1, 12])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_equals_scikit_learn(metric: str, weighted: bool, decimals: int) -> None:
    """With ties, without, and with weights of queries, some of them zero; those without a relevant row are out."""
    truth, score = case(decimals=decimals)
    assert truth.group is not None
    weight = np.random.default_rng(2).integers(0, 4, truth.group.max() + 1) if weighted else np.ones(300)
    known = by_query(truth, score)
    expected = np.average(
        [theirs(metric, label, own) for _, label, own in known], weights=[weight[number] for number, _, _ in known]
    )
    mine = RANKING.weighted(metric, truth, score)(weight[truth.group][None, :].astype(float))
    assert mine[0] == pytest.approx(expected, abs=1e-12)


def test_rows_of_equal_score_are_in_any_order() -> None:
    """The reciprocal rank is the mean over all of their orders, counted out."""
    random = np.random.default_rng(3)
    for _ in range(40):
        label, score = random.integers(0, 2, 6).astype(float), random.integers(0, 3, 6).astype(float)
        if label.any():
            mine = statistics.measure(RANKING, "mean_reciprocal_rank", Truth(label, np.zeros(6, dtype=int)), score)
            assert mine == pytest.approx(first_relevant(label, score), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_scores_that_say_nothing(metric: str) -> None:
    """All the same, they are worth what shuffled rows are on average: nothing is gained by not deciding."""
    truth, _ = case(queries=2000)
    same = statistics.measure(RANKING, metric, truth, np.zeros(len(truth)))
    shuffled = [
        statistics.measure(RANKING, metric, truth, np.random.default_rng(seed).random(len(truth))) for seed in range(8)
    ]
    if metric == "mean_average_precision":  # taken as one step, as scikit-learn has it: the share of relevant rows
        assert same < np.mean(shuffled)
    else:
        assert same == pytest.approx(np.mean(shuffled), abs=0.01)


def test_the_best_and_the_worst_order() -> None:
    """The best order is worth 1 by each metric; the other way round, what the definitions say."""
    label = np.array([0.0, 0.0, 1.0])
    truth = Truth(label, np.zeros(3, dtype=int))
    for metric in METRICS:
        assert statistics.measure(RANKING, metric, truth, label) == 1.0
    assert statistics.measure(RANKING, "ndcg", truth, -label) == pytest.approx(1 / np.log2(4))
    assert statistics.measure(RANKING, "mean_reciprocal_rank", truth, -label) == pytest.approx(1 / 3)
    last = Ranking(group="query", at=2)
    assert statistics.measure(last, "ndcg", truth, -label) == 0.0


def test_resampled_values_are_those_of_resampled_queries() -> None:
    """A query that is taken twice counts as two."""
    truth, score = case(queries=30)
    assert truth.group is not None
    picked = np.random.default_rng(7).integers(0, 30, 30)
    times = np.bincount(picked, minlength=30)[truth.group].astype(float)
    parts = [np.flatnonzero(truth.group == number) for number in picked]
    rows, group = np.concatenate(parts), np.repeat(np.arange(30), [len(part) for part in parts])
    for metric in METRICS:
        repeated = statistics.measure(RANKING, metric, Truth(truth.label[rows], group), score[rows])
        assert RANKING.weighted(metric, truth, score)(times[None, :])[0] == pytest.approx(repeated, abs=1e-12)


def test_a_better_model_is_better() -> None:
    """A planted better model gains by each metric, and the interval of its gain excludes none at all."""
    truth, score = case()
    worse = score + np.random.default_rng(5).normal(0, 0.6, len(score))
    for metric in METRICS:
        assert statistics.gain(RANKING, metric, truth, score, worse, 0).low > 0
        assert statistics.gain(RANKING, metric, truth, worse, score, 0).high < 0


def test_slices_are_parts_of_queries() -> None:
    """Of a query's rows those of a slice are ranked among each other; one without a relevant row is named."""
    truth, score = case()
    column = np.where(truth.label > 0, "new", "old")
    judged, left_out = statistics.by_slice(RANKING, "ndcg", column, truth, score, 1)
    assert judged["new"]["value"] > 0.5
    assert [*left_out] == ["no relevant row"]


def test_nothing_relevant_is_no_judgement() -> None:
    """Of such queries nothing can be said."""
    with pytest.raises(DataValidationError, match="none of 3 rows is relevant to its query"):
        statistics.measure(RANKING, "ndcg", Truth(np.zeros(3), np.zeros(3, dtype=int)), [1.0, 2.0, 3.0])
