"""The trials of a search: how far each has come, which is the best, and whether the search goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.search.declaration import Criteria

State = Literal["waiting", "running", "complete", "pruned", "failed"]
Kind = Literal["target", "trials", "budget", "patience"]
NEVER = datetime.max.replace(tzinfo=UTC)


class Trial(Frozen):
    """One trial, as far as it has come.

    :param slot: its place in the search, from 0; a task that is run again comes back to the same one.
    :param value: the metric on the validation rows; of a pruned trial the last one that it reported.
    :param values: what it reported on its way, by step.
    :param reason: why it was pruned or failed.
    """

    slot: int
    state: State = "waiting"
    algorithm: str | None = None
    params: dict[str, Any] = {}
    value: float | None = None
    values: dict[int, float] = {}
    seconds: float = 0.0
    reason: str | None = None
    ended: datetime | None = None


class Stop(Frozen):
    """Why a search takes no further trial, and after how many."""

    kind: Kind
    reason: str
    after: int


def stop(criteria: Criteria, trials: Iterable[Trial], metric: Metric) -> Stop | None:
    """Decide whether a search takes no further trial, and say why; None if it goes on."""
    # In the order in which they ended: what ends later changes nothing, so every worker decides the same.
    best: Trial | None = None
    gained, spent = 0, 0.0
    for count, trial in enumerate(in_order(trial for trial in trials if trial.slot < criteria.trials), 1):
        spent += trial.seconds
        if trial.state == "complete" and _is_gain(trial, best, criteria.min_gain, metric):
            best, gained = trial, count
        for kind, reason in _reasons(criteria, count, trial, best, count - gained, spent, metric):
            return Stop(kind=kind, reason=reason, after=count)
    return None


def _reasons(
    criteria: Criteria, count: int, trial: Trial, best: Trial | None, idle: int, spent: float, metric: Metric
) -> Iterator[tuple[Kind, str]]:
    target, minutes, patience = criteria.target, criteria.minutes, criteria.patience
    value = trial.value if trial.state == "complete" else None
    if target is not None and value is not None and metric.meets(value, target):
        yield "target", f"trial {trial.slot} reached {value:.4f}, the target is {target:g}"
    if count >= criteria.trials:
        yield "trials", f"all {count} trials have ended"
    if minutes is not None and spent >= 60 * minutes:
        yield "budget", f"{spent / 60:.1f} minutes of training are spent in {count} trials, the budget is {minutes:g}"
    if patience is not None and idle >= patience:
        least = f" of {criteria.min_gain:g} or more" if criteria.min_gain else ""
        over = f"no gain{least} over trial {best.slot} with {best.value:.4f}" if best else "no trial was complete"
        yield "patience", f"{over} in {patience} trials"


def _is_gain(trial: Trial, best: Trial | None, least: float, metric: Metric) -> bool:
    if trial.value is None or best is None or best.value is None:
        return trial.value is not None
    return metric.better(trial.value, best.value) and abs(trial.value - best.value) >= least


def in_order(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials that have ended, in the order in which they did."""
    return sorted((trial for trial in trials if trial.ended), key=lambda trial: (trial.ended or NEVER, trial.slot))


def best_of(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    """Return the complete trial with the best value, of equals that of the lowest slot; None if there is none."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    sign = -1 if metric.higher_is_better else 1
    return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.slot), default=None)
