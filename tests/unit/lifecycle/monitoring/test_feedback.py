"""When a training is due."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring.feedback import Plan, plan
from airflow_mlops_provider.lifecycle.sections import Retraining, Windows

MONTHS = [
    Interval(start=datetime(2013, month, 1, tzinfo=UTC), end=datetime(2013, month + 1, 1, tzinfo=UTC))
    for month in range(1, 12)
]
WINDOWS = Windows(train=2, evaluate=1)
POLICY = Retraining(after_intervals=3, cooldown_intervals=1)
DRIFT = ("61% of the model's inputs drifted, limit 60%", "predictions moved by 0.210, limit 0.2")


def due(there: int, trained: int | None, drift: tuple[str, ...] = (), by_time: bool = False) -> Plan:
    """Return the plan when so many months are there and the last training saw that one (from 1)."""
    return plan(MONTHS[:there], MONTHS[trained - 1] if trained else None, drift, by_time, WINDOWS, POLICY)


@pytest.mark.parametrize(
    ("there", "trained", "drift", "by_time", "cause", "reason"),
    [
        (3, None, (), False, "first", "the first 3 feature intervals are there"),
        (3, None, DRIFT, True, "first", "the first 3 feature intervals are there"),
        (6, 3, (), False, "features", "3 new feature intervals since the last training"),
        (9, 3, (), False, "features", "6 new feature intervals since the last training"),
        (4, 3, (), True, "time", "the schedule asks and there are 1 new feature interval(s)"),
        (5, 3, DRIFT, False, "drift", "; ".join(DRIFT)),
        (5, 3, DRIFT, True, "drift", "; ".join(DRIFT)),
        (6, 3, DRIFT, False, "drift", "; ".join(DRIFT)),
    ],
)
def test_each_cause_of_a_training(
    there: int, trained: int | None, drift: tuple[str, ...], by_time: bool, cause: str, reason: str
) -> None:
    """A training that is due says why, and takes as many intervals as both windows need."""
    assert due(there, trained, drift, by_time) == Plan(cause=cause, reason=reason, intervals=3)


@pytest.mark.parametrize(
    ("there", "trained", "drift", "by_time", "reason"),
    [
        (0, None, (), True, "0 of the 3 feature intervals that a training takes are there"),
        (2, None, (), True, "2 of the 3 feature intervals that a training takes are there"),
        (2, 3, DRIFT, True, "2 of the 3 feature intervals that a training takes are there"),
        (3, 3, (), False, "no new features since the last training"),
        (3, 3, DRIFT, True, "no new features since the last training"),
        (4, 3, (), False, "1 new feature interval(s) since the last training, due after 3"),
        (5, 3, (), False, "2 new feature interval(s) since the last training, due after 3"),
        (
            4,
            3,
            DRIFT,
            False,
            f"drift ({'; '.join(DRIFT)}), but the last training is only 1 interval(s) ago: cooling down",
        ),
    ],
)
def test_each_reason_to_wait(
    there: int, trained: int | None, drift: tuple[str, ...], by_time: bool, reason: str
) -> None:
    """A training that is not due says why not, has no cause and takes nothing."""
    assert due(there, trained, drift, by_time) == Plan(cause=None, reason=reason, intervals=0)


def test_no_cooldown_lets_drift_ask_at_once() -> None:
    """Without a cooldown one new interval is enough for drift."""
    eager = Retraining(after_intervals=3, cooldown_intervals=0)
    assert plan(MONTHS[:4], MONTHS[2], DRIFT, False, WINDOWS, eager).cause == "drift"


def test_who_asks_by_hand_gets_a_training() -> None:
    """Nothing is due, and yet a person's run trains; but not on fewer intervals than a training takes."""
    assert due(3, 3).cause is None
    asked = plan(MONTHS[:3], MONTHS[2], (), True, WINDOWS, POLICY, by_hand=True)
    assert (asked.cause, asked.intervals) == ("hand", 3)
    assert plan(MONTHS[:2], None, (), True, WINDOWS, POLICY, by_hand=True).cause is None
