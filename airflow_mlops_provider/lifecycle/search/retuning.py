"""Retuning: the small search that a pipeline may make by itself, around the settings that are fixed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Choice, FloatRange, IntRange, Span, incumbent
from airflow_mlops_provider.lifecycle.search.trials import Trial, best_of
from airflow_mlops_provider.lifecycle.trainer import Trainer

#: The share of the training rows, the latest ones, on which tries are compared. The evaluation window is never seen.
HOLDOUT = 0.25


class Retuned(Frozen):
    """The result of a retuning, how many tries it took, and all of it in a sentence.

    :param fixed, best: the metric of the fixed settings, and of the best of all, on the holdout; None where they could
        not be judged.
    :param settings: those that the best one changes; empty if the fixed ones are kept.
    """

    tries: int
    fixed: float | None
    best: float | None
    settings: dict[str, Any] = {}
    summary: str


def around(fixed: Trainer, spread: float, algorithms: Sequence[Algorithm] = ()) -> Algorithm | None:
    """Return what may be tried around the fixed settings: numbers above 0; None if there are none to vary.

    :param algorithms: those of the product's experiments; the ranges that they declare are not left.
    """
    match = incumbent(algorithms, fixed)
    known = match[0].space if match else {}
    spans = {name: _span(value, spread, known.get(name)) for name, value in fixed.settings.items()}
    space = {name: span for name, span in spans.items() if span}
    settings = {name: value for name, value in fixed.settings.items() if name not in space}
    return Algorithm(**{**fixed.model_dump(), "settings": settings}, name="fixed", space=space) if space else None


def conclude_retuning(fixed: Mapping[str, Any], metric: Metric, trials: Iterable[Trial], stopped: str) -> Retuned:
    """Return what the trials say, the first of which is of the fixed settings; ``stopped`` is what ended them early."""
    ended = [trial for trial in trials if trial.ended]
    first, best = next((trial for trial in ended if trial.slot == 0), None), best_of(ended, metric)
    tries = max(len(ended) - 1, 0)
    if first is None or first.value is None or first.state != "complete" or best is None:
        why = first.reason if first else stopped
        return Retuned(tries=tries, fixed=None, best=None, summary=f"settings kept: {why}")
    where = f"on the last {HOLDOUT:.0%} of the training rows"
    if best is first:  # of equals that of the lowest slot is the best: only a better one replaces it
        summary = f"settings kept: none of {tries} tries was better than {metric.name} {first.value:.4f} {where}"
        summary = f"{summary}; {stopped}" if stopped else summary
        return Retuned(tries=tries, fixed=first.value, best=first.value, summary=summary)
    changed = {name: value for name, value in best.params.items() if value != fixed[name]}
    listed = ", ".join(f"{name} {fixed[name]:g} -> {value:g}" for name, value in changed.items())
    reached = f"{metric.name} {first.value:.4f} -> {best.value:.4f}"
    summary = f"settings changed: {reached} {where}, {listed} (try {best.slot} of {tries})"
    return Retuned(tries=tries, fixed=first.value, best=best.value, settings=changed, summary=summary)


def _span(value: Any, spread: float, known: Span | None) -> Span | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or isinstance(known, Choice) or value <= 0:
        return None
    least, most = (known.low, known.high) if known else (0, math.inf)
    if isinstance(value, int):
        low, high = max(math.ceil(value / spread), least), min(math.floor(value * spread), most)
        # One is mostly a switch or a count of something that there is one of.
        return IntRange(low=int(low), high=int(high), log=True) if value > 1 and low < high else None
    most = min(most, 1.0) if value <= 1 else most  # what lies between 0 and 1 is mostly a share or a rate
    low, high = max(value / spread, least), min(value * spread, most)
    return FloatRange(low=low, high=high, log=True) if low < high else None
