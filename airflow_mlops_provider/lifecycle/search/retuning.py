"""Retuning: the small search that a pipeline may make by itself, around the settings that are fixed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.metrics import Metric
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Choice, FloatRange, IntRange, Span, incumbent
from airflow_mlops_provider.lifecycle.search.trials import Trial, best_of
from airflow_mlops_provider.lifecycle.trainer import Trainer

NAME = "fixed"
#: The share of the training rows, the latest ones, on which tries are compared. The evaluation window is never seen.
HOLDOUT = 0.25


class Retuned(Frozen):
    """The result of a retuning.

    :param tries: how many others were tried.
    :param fixed, best: the metric of the fixed settings, and of the best of all, on the holdout; None where they could
        not be judged.
    :param settings: those that the best one changes; empty if the fixed ones are kept.
    :param summary: all of it in a sentence.
    """

    tries: int
    fixed: float | None
    best: float | None
    settings: dict[str, Any] = {}
    summary: str


def around(fixed: Trainer, spread: float, algorithms: Sequence[Algorithm] = ()) -> Algorithm | None:
    """Return what may be tried around the fixed settings; None if there is no number to vary.

    Words, switches, zero and below stay as they are.

    :param algorithms: those of the product's experiments; the ranges that they declare are not left.
    """
    match = incumbent(algorithms, fixed)
    known = match[0].space if match else {}
    spans = {name: _span(value, spread, known.get(name)) for name, value in fixed.settings.items()}
    space = {name: span for name, span in spans.items() if span is not None}
    if not space:
        return None
    settings = {name: value for name, value in fixed.settings.items() if name not in space}
    return Algorithm(**{**fixed.model_dump(), "settings": settings}, name=NAME, space=space)


def conclude_retuning(fixed: Mapping[str, Any], metric: Metric, trials: Iterable[Trial], stopped: str) -> Retuned:
    """Return what the trials say; the first one is of the fixed settings, which only a better one replaces.

    :param fixed: the fixed settings.
    :param stopped: what ended the tries before there were as many as allowed; empty if nothing did.
    """
    ended = [trial for trial in trials if trial.ended]
    first, best = next((trial for trial in ended if trial.slot == 0), None), best_of(ended, metric)
    tries = len(ended) - 1
    if first is None or first.value is None or first.state != "complete":
        why = first.reason if first else stopped
        return Retuned(tries=max(tries, 0), fixed=None, best=None, summary=f"settings kept: {why}")
    where = f"on the last {HOLDOUT:.0%} of the training rows"
    if best is None or best.value is None or not metric.better(best.value, first.value):
        summary = f"settings kept: none of {tries} tries was better than {metric.name} {first.value:.4f} {where}"
        summary = f"{summary}; {stopped}" if stopped else summary
        return Retuned(tries=tries, fixed=first.value, best=first.value, summary=summary)
    changed = {name: value for name, value in best.params.items() if value != fixed[name]}
    listed = ", ".join(f"{name} {fixed[name]:g} -> {value:g}" for name, value in changed.items())
    summary = f"settings changed: {metric.name} {first.value:.4f} -> {best.value:.4f} {where}, {listed}"
    summary = f"{summary} (try {best.slot} of {tries})"
    return Retuned(tries=tries, fixed=first.value, best=best.value, settings=changed, summary=summary)


def _span(value: Any, spread: float, known: Span | None) -> Span | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or isinstance(known, Choice) or value <= 0:
        return None
    least, most = (known.low, known.high) if known else (0, math.inf)
    if isinstance(value, int):
        low, high = max(math.ceil(value / spread), least), min(math.floor(value * spread), most)
        # One is mostly a switch or a count of something that there is one of.
        return IntRange(low=int(low), high=int(high), log=True) if value > 1 and low < high else None
    # What lies between 0 and 1 is mostly a share or a rate.
    top = min(value * spread, 1.0) if value <= 1 else value * spread
    low, high = max(value / spread, least), min(top, most)
    return FloatRange(low=low, high=high, log=True) if low < high else None
