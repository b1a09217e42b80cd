"""Retuning: the small search that a pipeline may make by itself, around the settings that are fixed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.metrics import metric_of
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Choice, FloatRange, IntRange, Span, incumbent
from airflow_mlops_provider.lifecycle.search.trials import Trial, best_of

NAME = "fixed"
#: The share of the training rows, the latest ones, on which tries are compared. The evaluation window is never seen.
TAIL = 0.25


class Retuned(Frozen):
    """What a bounded search around the fixed settings came to.

    :param tries: how many others were tried.
    :param fixed, best: the metric of the fixed settings, and of the best of all, on the training rows' tail; None where
        they could not be judged.
    :param settings: those that the best one changes; empty if the fixed ones are kept.
    :param summary: all of it in a sentence.
    """

    tries: int
    fixed: float | None
    best: float | None
    settings: dict[str, Any] = {}
    summary: str


def around(product: MLProduct) -> Algorithm | None:
    """Return what may be tried around a product's fixed settings; None if there is no number to vary.

    Words, switches, zero and below stay as they are. Where the product's experiments declare a range, it is not left.
    """
    fixed, spread = product.trainer, product.retuning.spread
    known = _declared(product)
    spans = {name: _span(value, spread, known.get(name)) for name, value in fixed.settings.items()}
    space = {name: span for name, span in spans.items() if span is not None}
    if not space:
        return None
    settings = {name: value for name, value in fixed.settings.items() if name not in space}
    return Algorithm(**{**fixed.model_dump(), "settings": settings}, name=NAME, space=space)


def judged(product: MLProduct, trials: Iterable[Trial], stopped: str) -> Retuned:
    """Return what the trials say; the first one is of the fixed settings, which only a better one replaces.

    :param stopped: what ended the tries before there were as many as allowed.
    """
    metric = metric_of(product.problem, product.metric)
    ended = [one for one in trials if one.ended]
    first, best = next((one for one in ended if one.slot == 0), None), best_of(ended, metric)
    tries = len(ended) - 1
    if first is None or first.value is None or first.state != "complete":
        why = first.reason if first else "nothing to vary"
        return Retuned(tries=max(tries, 0), fixed=None, best=None, summary=f"settings kept: {why}")
    where = f"on the last {TAIL:.0%} of the training rows"
    if best is None or best.value is None or not metric.better(best.value, first.value):
        said = f"settings kept: none of {tries} tries was better than {product.metric} {first.value:.4f} {where}"
        said = f"{said}; {stopped}" if stopped else said
        return Retuned(tries=tries, fixed=first.value, best=first.value, summary=said)
    changed = {name: value for name, value in best.params.items() if value != product.trainer.settings[name]}
    told = ", ".join(f"{name} {product.trainer.settings[name]:g} -> {value:g}" for name, value in changed.items())
    said = f"settings changed: {product.metric} {first.value:.4f} -> {best.value:.4f} {where}, {told}"
    said = f"{said} (try {best.slot} of {tries})"
    return Retuned(tries=tries, fixed=first.value, best=best.value, settings=changed, summary=said)


def _declared(product: MLProduct) -> Mapping[str, Span]:
    """Return the ranges that the product's experiments declare for the trainer that is fixed."""
    algorithms = product.search.algorithms if product.search else ()
    found = incumbent(algorithms, product.trainer)
    return next((one.space for one in algorithms if found and one.name == found[0]), {})


def _span(value: Any, spread: float, known: Span | None) -> Span | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or isinstance(known, Choice) or value <= 0:
        return None
    if isinstance(value, int):
        ends = _inside(math.ceil(value / spread), math.floor(value * spread), known)
        # One is mostly a switch or a count of something that there is one of.
        return IntRange(low=int(ends[0]), high=int(ends[1]), log=True) if value > 1 and ends[0] < ends[1] else None
    # What lies between 0 and 1 is mostly a share or a rate.
    low, high = _inside(value / spread, min(value * spread, 1.0) if value <= 1 else value * spread, known)
    return FloatRange(low=low, high=high, log=True) if low < high else None


def _inside(low: float, high: float, known: Span | None) -> tuple[float, float]:
    if known is None or isinstance(known, Choice):
        return low, high
    return max(low, known.low), min(high, known.high)
