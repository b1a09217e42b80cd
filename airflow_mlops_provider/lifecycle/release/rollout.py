"""Whether a version that predicts beside the live one goes on, goes further, or is taken back: a decision on counts.

Each test may be asked again and again, at any time: together they take back one of a hundred versions that are no worse
than their limits allow, whenever one looks. Rates are tested by a mixture of likelihood ratios, which ever reaches
1 / ALPHA with a probability of ALPHA at most (Ville's inequality; Robbins, "Statistical methods related to the law of
the iterated logarithm", Annals of Mathematical Statistics 41(5), 1970). Distributions are bounded by the inequality of
Dvoretzky, Kiefer and Wolfowitz with Massart's constant ("The tight constant in the Dvoretzky-Kiefer-Wolfowitz
inequality", Annals of Probability 18(3), 1990), for each number of rows at its own level, ALPHA / (n (n + 1)), and
these sum up to ALPHA.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate
from statistics import NormalDist
from typing import Any, NamedTuple

from pydantic import AwareDatetime

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.release.deployment import Rollout
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate
from airflow_mlops_provider.lifecycle.release.registry import Status

#: Of each of the six tests; together one in a hundred.
ALPHA = 0.01 / 6
#: At which percentiles durations are compared. Half more than should lie above one is no regression: it is estimated.
LEVELS = (0.99, 0.9)
#: Calls before latency is judged: before, the live version's p99 is not known.
TIMED = 30
#: Seconds that are never too long.
SLACK = 0.01
#: Labelled rows before the metric is judged.
LABELLED = 100
_Z = NormalDist().inv_cdf(0.975)
#: Durations are counted by the power of this that they reach, in units of 10 µs.
STEP, UNIT = 1.03, 1e-5


class Observed(Frozen):
    """What a candidate did beside the live version, since it is in its phase.

    :param calls: calls that both predicted, or that the candidate failed.
    :param errors: those of them that it failed, or was too late for: the live version answered these.
    :param dropped: calls that it was not given, since it was behind.
    :param missing: calls in which more of its inputs were missing than the limit allows; by the share.
    :param live_seconds, seconds: how many predictions took how long, by :func:`bucket`.
    :param live_answers, answers: how many predictions lie up to each of some bounds, and beyond the last.
    :param memory: MiB by which the process has grown since the candidate was loaded.
    """

    calls: int = 0
    errors: int = 0
    dropped: int = 0
    missing: dict[int, int] = {}
    live_seconds: dict[int, int] = {}
    seconds: dict[int, int] = {}
    live_answers: tuple[int, ...] = ()
    answers: tuple[int, ...] = ()
    memory: float = 0.0


class Candidate(Frozen):
    """What a server says of the version beside the live one.

    :param requested_at: when its phase was asked for.
    :param since: from when on it predicts; None while it is loaded.
    :param failure: why it can't.
    """

    version: int
    mode: Status
    share: float
    requested_at: AwareDatetime
    since: AwareDatetime | None = None
    failure: str | None = None
    observed: Observed = Observed()


class Action(StrEnum):
    """What is to be done with a candidate."""

    WAIT = "wait"
    GO_ON = "go on"
    TAKE_BACK = "take back"


class Verdict(NamedTuple):
    """What is to be done, why, the figures that it rests on, and when the time is over that is waited for."""

    action: Action
    reason: str
    figures: dict[str, Any] = {}
    due: datetime | None = None


class Phase(NamedTuple):
    """A phase of a rollout: which one, since when by the ledger, and when the first one began."""

    status: Status
    began: datetime
    first: datetime


def first_phase(rollout: Rollout) -> Status:
    """Return the phase with which a rollout begins."""
    return Status.SHADOW if rollout.shadow else Status.CANARY


def next_phase(rollout: Rollout, status: Status) -> Status:
    """Return what comes after a phase that went well."""
    return Status.CANARY if status is Status.SHADOW and rollout.canary else Status.LIVE


def judge(rollout: Rollout, phase: Phase, now: datetime, seen: Candidate | None, worse: str | None = None) -> Verdict:
    """Return what is to be done with a candidate. It is never taken further by a doubt.

    :param seen: what the server says of it; None if no server answers, or says nothing of it.
    :param worse: why its metric is too bad; None if it isn't, or not known.
    """
    figures = _figures(seen.observed) if seen else {}
    if seen and seen.failure:
        return Verdict(Action.TAKE_BACK, f"it can't be loaded: {seen.failure}", figures)
    if (seen is None or seen.since is None) and now - phase.began > rollout.limits.start:
        what = "is still being loaded" if seen else "is not served"
        return Verdict(Action.TAKE_BACK, f"start: it {what} after {_words(now - phase.began)}", figures)
    if seen and (broken := next(_broken(rollout, seen.observed, worse), None)):
        return Verdict(Action.TAKE_BACK, broken, figures)
    if now - phase.first > rollout.within:
        calls = seen.observed.calls if seen else 0
        reason = f"within: after {_words(now - phase.first)} it is {phase.status} with {calls} of {rollout.calls} calls"
        return Verdict(Action.TAKE_BACK, reason, figures)
    if seen is None or seen.since is None:
        return Verdict(Action.WAIT, "it is being loaded", figures)
    due = seen.since + (rollout.shadow if phase.status is Status.SHADOW else rollout.bake)
    if seen.observed.calls < rollout.calls or now < due:
        waits_for = f"{seen.observed.calls} of {rollout.calls} calls, until {due:%H:%M:%S} UTC"
        return Verdict(Action.WAIT, waits_for, figures, due if now < due else None)
    return Verdict(Action.GO_ON, f"{seen.observed.calls} calls as {phase.status}, and no limit is broken", figures)


def bucket(seconds: float) -> int:
    """Return by which number a duration is counted: it lies above ``upper`` of the number before, up to its own."""
    return max(0, math.ceil(math.log(max(seconds, UNIT) / UNIT, STEP)))


def upper(number: int) -> float:
    """Return the longest duration in seconds that is counted by a number."""
    return float(UNIT * STEP**number)


def evidence_above(rate: float, happened: int, of: int) -> float:
    """Return how much speaks for something to happen more often than at a rate; by chance it reaches n once in n.

    That is a mixture of likelihood ratios over thirty rates above it.
    """
    rates = [rate ** (1 - part / 30) for part in range(1, 30)] + [0.999]
    odds = [
        happened * math.log(higher / rate) + (of - happened) * math.log((1 - higher) / (1 - rate)) for higher in rates
    ]
    return sum(math.exp(min(log, 700.0)) for log in odds) / len(odds)


def percentile(seconds: Mapping[int, int], level: float = 0.99) -> float:
    """Return the duration that a share of the counted ones doesn't exceed."""
    left = level * sum(seconds.values())
    for number in sorted(seconds):
        left -= seconds[number]
        if left <= 0:
            return upper(number)
    return 0.0


def distance(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[float, float]:
    """Return the largest difference of two cumulative distributions, and how much of it may be chance."""
    rows = min(sum(one), sum(other))
    if not rows:
        return 0.0, 1.0
    pairs = zip(accumulate(one), accumulate(other), strict=True)
    largest = max(abs(left / sum(one) - right / sum(other)) for left, right in pairs)
    chance = math.sqrt(math.log(4 * rows * (rows + 1) / ALPHA) / (2 * rows))
    return largest, 2 * chance


def labelled_look(rows: int) -> tuple[int, int] | None:
    """Return of how many labelled rows the metric is judged, and the how many-th look that is; None for too few.

    It is looked at 100 rows, at 200, 400 …, and between two of these again at the same rows: each look has a level of
    its own, so that all together keep theirs.
    """
    if rows < LABELLED:
        return None
    look = int(math.log2(rows / LABELLED))
    return LABELLED * 2**look, look + 1


def is_worse(gain: Estimate, look: int, limit: float) -> bool:
    """Say whether a candidate is worse than the live version by more than a limit, at the level of a look.

    The levels, 6 / (pi k)^2 of ALPHA, sum up to it (the Basel problem); the error of the gain is that of its bootstrap.

    :param gain: with its 95 % interval; above 0 for a better candidate.
    """
    error = (gain.high - gain.low) / (2 * _Z)
    return gain.value + NormalDist().inv_cdf(1 - 6 * ALPHA / (math.pi * look) ** 2) * error < -limit


def _broken(rollout: Rollout, seen: Observed, worse: str | None) -> Iterator[str]:
    """Yield each limit that is broken, with the figures."""
    limits, enough = rollout.limits, 1 / ALPHA
    if seen.memory > limits.memory:
        yield f"memory: the server grew by {seen.memory:.0f} MiB, and {limits.memory} are allowed"
    if evidence_above(limits.errors, seen.errors, seen.calls) >= enough:
        yield f"errors: {seen.errors} of {seen.calls} calls, and {limits.errors:.2%} are allowed"
    lacking = sum(count for percent, count in seen.missing.items() if percent > 100 * limits.missing)
    if evidence_above(limits.errors, lacking, seen.calls) >= enough:
        yield (
            f"missing: in {lacking} of {seen.calls} calls its inputs lack over {limits.missing:.0%} more of their "
            "values than the live version's"
        )
    yield from _slow(limits.latency, seen)
    largest, chance = distance(seen.live_answers, seen.answers)
    if largest > limits.shift + chance:
        rows = sum(seen.answers)
        yield f"shift: predictions of {rows} rows lie {largest:.2f} apart, and {limits.shift:.2f} are allowed"
    if worse:
        yield f"metric: {worse}"


def _slow(latency: float, seen: Observed) -> Iterator[str]:
    timed = sum(seen.seconds.values())
    for level in LEVELS if timed >= TIMED else ():
        normal = percentile(seen.live_seconds, level)
        limit = max(latency * normal, normal + SLACK)
        slow = sum(count for number, count in seen.seconds.items() if upper(number - 1) >= limit)
        if evidence_above(1.5 * (1 - level), slow, timed) >= 1 / ALPHA:
            own, name = 1000 * percentile(seen.seconds, level), f"p{100 * level:.0f}"
            yield (
                f"latency: {slow} of {timed} predictions took longer than {1000 * limit:.0f} ms; the live version's "
                f"{name} is {1000 * normal:.0f} ms, its own {own:.0f} ms"
            )


def _figures(seen: Observed) -> dict[str, Any]:
    rows = sum(seen.answers)
    return {
        "calls": seen.calls,
        "errors": seen.errors,
        "dropped": seen.dropped,
        "p99_ms": round(1000 * percentile(seen.seconds), 2),
        "live_p99_ms": round(1000 * percentile(seen.live_seconds), 2),
        "shift": round(distance(seen.live_answers, seen.answers)[0], 4) if rows else None,  # not judged yet
        "rows": rows,
        "memory_mib": round(seen.memory, 1),
    }


def _words(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"
