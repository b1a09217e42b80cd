"""Metrics, for those who decide by them: what their values lie between, and which of two is better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_mlops_provider.extensions import PROBLEMS


@dataclass(frozen=True)
class Metric:
    """A metric: its name, its direction, and the range of its values, without an end where that is None."""

    name: str
    higher_is_better: bool = True
    low: float | None = 0.0
    high: float | None = 1.0

    def allows(self, value: float) -> bool:
        """Say whether the metric can have this value: NaN, infinities and what lies out of its range it can't."""
        low, high = self.ends
        return math.isfinite(value) and low <= value <= high

    def allows_gain(self, gain: float) -> bool:
        """Say whether a difference of two of its values can be this."""
        low, high = self.ends
        return math.isfinite(gain) and abs(gain) <= high - low

    def better(self, value: float, other: float) -> bool:
        """Say whether a value is better than another one; an equal one is not."""
        return value > other if self.higher_is_better else value < other

    def meets(self, value: float, limit: float) -> bool:
        """Say whether a value is at least as good as a limit."""
        return value >= limit if self.higher_is_better else value <= limit

    @property
    def missed(self) -> str:
        """On which side of a limit a value lies that does not meet it."""
        return "below" if self.higher_is_better else "above"

    @property
    def ends(self) -> tuple[float, float]:
        """The range, for comparisons; a specification is JSON, which has no infinity."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high


def metric_of(problem: str, name: str) -> Metric:
    """Return a metric of a kind of problem. :raises UnknownNameError: if there is no such problem or metric."""
    metric: Metric = PROBLEMS.find(problem).metric(name)
    return metric


def check_limits(metric: Metric, limits: Mapping[str, float | None], gains: Mapping[str, float]) -> None:
    """Make sure that limits, None for none, lie in the metric's range. :raises ValueError: naming those that don't."""
    wrong = {field: limit for field, limit in limits.items() if limit is not None and not metric.allows(limit)}
    wrong |= {field: gain for field, gain in gains.items() if not metric.allows_gain(gain)}
    if wrong:
        low, high = metric.ends
        given = ", ".join(f"{field}={value:g}" for field, value in wrong.items())
        raise ValueError(f"{given} can't be: {metric.name} lies from {low:g} to {high:g}")
