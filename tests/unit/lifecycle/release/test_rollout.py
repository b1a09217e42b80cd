"""What a judge says of a candidate: equal ones go on, each regression is named, and a doubt takes nobody further."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.lifecycle.release.deployment import Rollout, RolloutLimits
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.release.rollout import (
    ALPHA,
    Action,
    Candidate,
    Observed,
    Phase,
    bucket,
    distance,
    evidence_above,
    first_phase,
    is_worse,
    judge,
    labelled_look,
    next_phase,
    percentile,
    upper,
)

NOW = datetime(2024, 1, 1, tzinfo=UTC)
PLAN = Rollout(shadow=timedelta(minutes=1), bake=timedelta(minutes=1), calls=500)
PAIRS, LOOKS, CALLS = 100, 40, 50


def seen(observed: Observed, **fields: Any) -> Candidate:
    """Return what a server says of a candidate that was loaded two minutes ago."""
    since = NOW - timedelta(minutes=2)
    return Candidate(
        **{"version": 2, "mode": Status.CANARY, "share": 0.1, "requested_at": since, "since": since, **fields},
        observed=observed,
    )


def verdict(observed: Observed, worse: str | None = None, **fields: Any) -> Any:
    """Return what is said of a canary after two minutes."""
    phase = Phase(Status.CANARY, NOW - timedelta(minutes=2), NOW - timedelta(minutes=3))
    return judge(PLAN, phase, NOW, seen(observed, **fields), worse)


def world(choose: random.Random, slower: float = 1.0, failing: float = 0.0, shift: float = 0.0) -> list[Observed]:
    """Return what is observed at each of many looks of a candidate that is so much worse; by default it is equal."""
    live, own, answers = Counter[int](), Counter[int](), (Counter[int](), Counter[int]())
    errors, calls, told = 0, 0, list[Observed]()
    for _ in range(LOOKS):
        for _ in range(CALLS):
            calls += 1
            if choose.random() < failing:
                errors += 1
                continue
            live[bucket(0.01 * choose.lognormvariate(0, 0.5))] += 1
            own[bucket(0.01 * slower * choose.lognormvariate(0, 0.5))] += 1
            for counts, moved in zip(answers, (0.0, shift), strict=True):
                counts[min(31, int(32 * min(1.0, choose.random() + moved)))] += 1
        counted = (tuple(counts[place] for place in range(32)) for counts in answers)
        told.append(
            Observed(
                calls=calls, errors=errors, live_seconds=dict(live), seconds=dict(own),
                **dict(zip(("live_answers", "answers"), counted, strict=True)),
            )
        )  # fmt: skip
    return told


def test_equal_versions_go_on() -> None:
    """Of a hundred that are equal, failing as seldom as allowed, at most one is taken back at any of forty looks."""
    choose, taken = random.Random(7), 0
    for _ in range(PAIRS):
        looks = [verdict(observed) for observed in world(choose, failing=PLAN.limits.errors)]
        taken += any(look.action is Action.TAKE_BACK for look in looks)
        assert looks[0].action is not Action.GO_ON
        assert taken or looks[-1].action is Action.GO_ON
    assert taken <= 1


@pytest.mark.parametrize(
    ("what", "limit"), [({"failing": 0.1}, "errors: "), ({"slower": 3.0}, "latency: "), ({"shift": 0.45}, "shift: ")]
)
def test_worse_ones_are_taken_back(what: dict[str, float], limit: str) -> None:
    """Each of twenty is, for the limit that it breaks, before it has the calls with which it might go on."""
    choose = random.Random(11)
    for _ in range(20):
        first = next(look for look in map(verdict, world(choose, **what)) if look.action is not Action.WAIT)
        assert first.action is Action.TAKE_BACK
        assert first.reason.startswith(limit)


def test_the_other_limits() -> None:
    """Memory, missing inputs and a worse metric take a version back, and what can't be loaded is named."""
    assert verdict(Observed(calls=900, memory=513.0)).reason.startswith("memory: the server grew by 513 MiB, and 512")
    assert verdict(Observed(calls=900, memory=511.0)).action is Action.GO_ON
    assert verdict(Observed(calls=900, missing={30: 90})).reason.startswith("missing: in 90 of 900 calls")
    assert verdict(Observed(calls=900, missing={9: 900})).action is Action.GO_ON
    assert verdict(Observed(calls=900), worse="auc is worse").reason == "metric: auc is worse"
    assert verdict(Observed(), since=None, failure="no such column").reason == "it can't be loaded: no such column"


def test_time() -> None:
    """It waits for traffic and for its time; too slow a start, and too long a rollout, end it."""
    assert verdict(Observed(calls=499)).action is Action.WAIT
    assert verdict(Observed(calls=500)).action is Action.GO_ON
    assert verdict(Observed(calls=500), since=NOW - timedelta(seconds=59)).action is Action.WAIT
    phase = Phase(Status.SHADOW, NOW - timedelta(minutes=4), NOW - timedelta(minutes=4))
    for known in (None, seen(Observed(), since=None)):
        assert judge(PLAN, phase, NOW, known).action is Action.WAIT
        assert judge(PLAN, phase, NOW + timedelta(minutes=2), known).reason.startswith("start: ")
    late = judge(PLAN, phase, NOW + timedelta(days=1), seen(Observed(calls=3)))
    assert (late.action, late.reason[:7]) == (Action.TAKE_BACK, "within:")
    assert "3 of 500 calls" in late.reason


def test_phases() -> None:
    """Shadow, canary, live; one that is not declared is left out."""
    only = PLAN.model_copy(update={"canary": 0.0}), PLAN.model_copy(update={"shadow": timedelta(0)})
    assert first_phase(PLAN) is first_phase(only[0]) is Status.SHADOW
    assert first_phase(only[1]) is Status.CANARY
    assert next_phase(PLAN, Status.SHADOW) is Status.CANARY
    assert next_phase(only[0], Status.SHADOW) is next_phase(PLAN, Status.CANARY) is Status.LIVE


def test_evidence_is_rare_by_chance() -> None:
    """At the very rate that is allowed, fewer than 1 in 50 of three hundred series ever reach evidence of 50."""
    choose, reached = random.Random(3), 0
    for _ in range(300):
        happened = 0
        for number in range(1, 150):
            happened += choose.random() < 0.05
            if evidence_above(0.05, happened, number) >= 50:
                reached += 1
                break
    assert reached <= 6
    assert evidence_above(0.01, 3, 3) >= 1 / ALPHA
    assert evidence_above(0.01, 0, 10_000) < 1e-6


def test_durations_are_counted_by_powers() -> None:
    """A duration lies in its number's bounds; a p99 is what one in a hundred exceeds."""
    for seconds in (1e-6, 1e-5, 0.0123, 1.0, 77.0):
        number = bucket(seconds)
        assert seconds <= upper(number) * (1 + 1e-9)
        assert number == 0 or seconds > upper(number - 1) * (1 - 1e-9)
    assert percentile({10: 99, 40: 1}) == upper(10)
    assert percentile({10: 98, 40: 2}) == upper(40)
    assert percentile({}) == 0.0


def test_distance() -> None:
    """The largest difference of the cumulative distributions, and less chance in more rows."""
    assert distance((50, 50, 0), (0, 50, 50))[0] == pytest.approx(0.5)
    assert distance((), ()) == (0.0, 1.0)
    assert distance((500, 500), (500, 500))[1] == pytest.approx(0.21, abs=5e-3)


def test_metric_is_looked_at_in_doublings() -> None:
    """Not before a hundred labels, then at 100, 200, 400; each look is stricter than the one before."""
    assert [labelled_look(rows) for rows in (99, 100, 199, 200, 500)] == [None, (100, 1), (100, 1), (200, 2), (400, 3)]
    gain = Estimate(value=-0.2, low=-0.3, high=-0.1)
    assert is_worse(gain, 1, 0.02)
    assert not is_worse(gain, 1, 0.19)
    assert not is_worse(gain, 1000, 0.02)


def test_a_rollout_has_a_phase_and_the_time_for_it() -> None:
    """A declaration that can't work is refused, naming what."""
    with pytest.raises(ValidationError, match="give shadow or canary"):
        Rollout(shadow=timedelta(0), canary=0)
    with pytest.raises(ValidationError, match="no longer than shadow and bake together"):
        Rollout(within=timedelta(minutes=30))
    with pytest.raises(ValidationError, match="errors"):
        RolloutLimits(errors=0)
