"""When the loop closes: whether a training is due, and what the data lack."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from airflow_mlops_provider.lifecycle.frozen import Frozen, digest
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.sections import Retraining, Windows


class Plan(Frozen):
    """Whether to train now, on which intervals, and why or why not.

    :param cause: ``first``, ``hand``, ``drift``, ``features`` or ``time``; None if no training is due.
    :param intervals: how many of the latest feature intervals the training set takes.
    """

    cause: str | None
    reason: str
    intervals: int


def plan(
    available: Sequence[Interval],
    last_trained: Interval | None,
    drift: Sequence[str],
    by_time: bool,
    windows: Windows,
    policy: Retraining,
    by_hand: bool = False,
) -> Plan:
    """Decide whether a training is due.

    :param available: the unbroken run of feature intervals up to now, oldest first.
    :param last_trained: the last interval that the latest training saw; None before the first.
    :param drift: the limits that a drift event says were crossed; empty without one.
    :param by_time: the clock asks, rather than an event.
    :param by_hand: a person asks, who gets a training whether one is due or not: of what is unchanged, the same model.
    """
    wanted, cause = windows.train + windows.evaluate, None
    if len(available) < wanted:
        reason = f"{len(available)} of the {wanted} feature intervals that a training takes are there"
    elif last_trained is None:
        cause, reason = "first", f"the first {wanted} feature intervals are there"
    elif by_hand:
        cause, reason = "hand", f"asked for by hand, on the last {wanted} feature intervals"
    else:
        new = sum(interval.start >= last_trained.end for interval in available)
        cause, reason = _due(new, drift, by_time, policy)
    return Plan(cause=cause, reason=reason, intervals=wanted if cause else 0)


def _due(new: int, drift: Sequence[str], by_time: bool, policy: Retraining) -> tuple[str | None, str]:
    """Return cause and reason for a training on some new intervals; no cause if it is not due."""
    if new == 0:
        return None, "no new features since the last training"
    if drift and new <= policy.cooldown_intervals:
        return None, f"drift ({'; '.join(drift)}), but the last training is only {new} interval(s) ago: cooling down"
    if drift:
        return "drift", "; ".join(drift)
    if by_time:
        return "time", f"the schedule asks and there are {new} new feature interval(s)"
    if new >= policy.after_intervals:
        return "features", f"{new} new feature intervals since the last training"
    return None, f"{new} new feature interval(s) since the last training, due after {policy.after_intervals}"


class DataChangeRequest(Frozen):
    """What those who experiment ask of data engineering: that the data change, and why.

    :param what: what is missing or wrong in the data, and how that shows; ``evidence``: links to what it rests on.
    :param study: the search that came upon it, if it was one.
    :param by: the Airflow task, as ``dag/run/task``, or the person, that asks.
    :param answer: what became of it; None while it is open.
    """

    product: str
    to: str
    what: str
    evidence: tuple[str, ...] = ()
    study: str | None = None
    by: str
    at: datetime
    state: Literal["open", "closed"] = "open"
    answer: str | None = None

    @property
    def key(self) -> str:
        """Its name: the same for the same words from the same task of a run, however often that is tried."""
        return digest([self.product, self.what, self.study, self.by])[:16]
