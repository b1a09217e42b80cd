"""The metrics of ranking: a value for each query, then their weighted mean.

A query without any relevant row has no value and is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.problems.base import Truth

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Ranked:
    """Rows in the order of their queries, and within these of their scores, highest first.

    :param label: how relevant each is. :param place: its place in its query, from 0 on.
    :param query: the number of its query. :param tie: the number of its group of equal scores, and of each the
        ``tied``, its first row.
    """

    label: Floats
    place: Places
    query: Places
    tie: Places
    tied: Places


def weighted(metric: str, truth: Truth, score: Floats, at: int) -> Callable[[Floats], Floats]:
    """Return a metric as a function of row weights, shape (resamples, rows), to one value for each resample.

    A query weighs what its first row does: a resample has all rows of a query or none.
    """
    first, query = _queries(truth)
    rows = _ranked(truth.label, score, query)
    judged = np.bincount(rows.query, rows.label > 0) > 0
    values = ndcg(rows, at) if metric == "ndcg" else _METRICS[metric](rows)

    def value(weights: Floats) -> Floats:
        counted = weights[:, first[judged]]
        mean: Floats = (counted @ values[judged]) / counted.sum(axis=1)
        return mean

    return value


def ndcg(rows: Ranked, at: int) -> Floats:
    """Return each query's discounted cumulative gain of the first places, over that of the best order.

    A row gains its label, discounted by log2(place + 1), places from 1 on (Järvelin and Kekäläinen, "Cumulated
    gain-based evaluation of IR techniques", ACM Transactions on Information Systems 20(4), 2002). Rows of equal score
    share the discounts of their places (McSherry and Najork, "Computing information retrieval performance measures
    efficiently in the presence of tied scores", ECIR 2008).
    """
    discount = np.where(rows.place < at, 1 / np.log2(rows.place + 2.0), 0.0)
    shared = _mean(discount, rows.tie)[rows.tie]
    best = rows.label[np.lexsort((-rows.label, rows.query))]
    ideal, gained = np.bincount(rows.query, best * discount), np.bincount(rows.query, rows.label * shared)
    return np.divide(gained, ideal, out=np.zeros_like(gained), where=ideal > 0)


def reciprocal_rank(rows: Ranked) -> Floats:
    """Return 1 / the place of each query's first relevant row (Voorhees, "The TREC-8 question answering track", 1999).

    Where it is among rows of equal score, the mean over their orders: with r of n relevant, and p rows before them, the
    first is at place p + j with probability r / (n - j + 1) * product over i < j of (n - r - i + 1) / (n - i + 1).
    """
    relevant, size = np.bincount(rows.tie, rows.label > 0), np.bincount(rows.tie)
    before, query = rows.place[rows.tied], rows.query[rows.tied]
    with_any = np.flatnonzero(relevant > 0)
    _, at = np.unique(query[with_any], return_index=True)  # a query's first group that has a relevant row
    firsts = with_any[at]
    values = np.zeros(rows.query[-1] + 1)
    values[query[firsts]] = 1 / (before[firsts] + 1)
    for tie in firsts[relevant[firsts] < size[firsts]]:
        values[query[tie]] = _expected(int(before[tie]), int(size[tie]), int(relevant[tie]))
    return values


def average_precision(rows: Ranked) -> Floats:
    """Return each query's average precision, as of the binary one, relevant or not: equal scores are taken as one step.

    The sum of (recall_n - recall_(n-1)) * precision_n over distinct scores; see
    :func:`~.binary_classification.metrics.average_precision`.
    """
    relevant = (rows.label > 0).astype("float64")
    new, size = np.bincount(rows.tie, relevant), np.bincount(rows.tie)
    query = rows.query[rows.tied]
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    seen = np.cumsum(new) - (np.cumsum(new) - new)[starts][query]
    precision = seen / (rows.place[rows.tied] + size)
    gained, all_relevant = np.bincount(query, new * precision), np.bincount(query, new)
    return np.divide(gained, all_relevant, out=np.zeros_like(gained), where=all_relevant > 0)


def by_place(truth: Truth, score: Floats, at: int) -> tuple[tuple[float, float], ...]:
    """Return each of the first places, from 1 on, and the mean label of the rows there, in whatever order rows tie."""
    rows = _ranked(truth.label, score, _queries(truth)[1])
    shared, near = _mean(rows.label, rows.tie)[rows.tie], rows.place < at
    means = _mean(shared[near], rows.place[near])
    return tuple((float(place), float(mean)) for place, mean in enumerate(means, 1))


def _queries(truth: Truth) -> tuple[Places, Places]:
    """Return the first row of each query, and the query of each row, numbered without a gap."""
    group = np.arange(len(truth)) if truth.group is None else truth.group
    _, first, query = np.unique(group, return_index=True, return_inverse=True)
    return first, query


def _expected(before: int, size: int, relevant: int) -> float:
    first = np.arange(size - relevant + 1)  # how many irrelevant ones come before it
    left = size - first
    none_yet = np.concatenate([[1.0], np.cumprod((left - relevant)[:-1] / left[:-1])])
    return float((none_yet * relevant / left / (before + first + 1)).sum())


def _ranked(label: Floats, score: Floats, query: Places) -> Ranked:
    order = np.lexsort((-score, query))
    query, score = query[order], score[order]
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    place = np.arange(len(query)) - starts[query]
    new = (place == 0) | (np.diff(score, prepend=np.nan) != 0)
    return Ranked(label[order], place, query, np.cumsum(new) - 1, np.flatnonzero(new))


def _mean(values: Floats, group: Places) -> Floats:
    mean: Floats = np.bincount(group, values) / np.bincount(group)
    return mean


_METRICS: dict[str, Callable[[Ranked], Floats]] = {
    "mean_reciprocal_rank": reciprocal_rank,
    "mean_average_precision": average_precision,
}
