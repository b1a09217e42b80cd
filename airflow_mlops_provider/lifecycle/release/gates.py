"""What an evaluation found, and whether that is enough for production."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.metrics import is_gain, is_value
from airflow_mlops_provider.lifecycle.product import Gates

#: What was measured, whatever that is: a gate is where NaN and nothing at all are told for what they are.
Measured = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


class Estimate(Frozen):
    """A metric with its 95 % bootstrap interval."""

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="null")

    value: Measured
    low: Measured
    high: Measured

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


class LeftOut(Frozen):
    """Values of a column that were not judged as slices of their own.

    :param count: how many values; ``rows``, how many examples have one of them.
    :param largest: rows by value, of those with the most rows.
    """

    column: str
    why: str
    count: int
    rows: int
    largest: dict[str, int]

    def __str__(self) -> str:
        named = ", ".join(f"{value} ({rows})" for value, rows in self.largest.items())
        more = f" and {self.count - len(self.largest):,} more" if self.count > len(self.largest) else ""
        return f"{self.column}: {self.count:,} with {self.why}, {self.rows:,} examples in all: {named}{more}"


class Evaluation(Frozen):
    """A challenger, the champion and a naive baseline on the same later window.

    :param window: the window's data intervals, as text.
    :param rows: examples in it whose truth is known.
    :param gain: challenger minus champion, paired on the same resamples; None without a champion.
    :param slices: for each slice, such as ``origin=JFK``, its rows and the challenger's metric.
    :param left_out: the slices that have no metric, by column and reason.
    """

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="null")

    metric: str
    window: str
    rows: int
    challenger: Estimate
    baseline: Estimate
    champion: Estimate | None = None
    champion_version: int | None = None
    gain: Estimate | None = None
    slices: dict[str, dict[str, Measured]] = {}
    left_out: tuple[LeftOut, ...] = ()


class Decision(Frozen):
    """A yes or no with its reasons."""

    passed: bool
    reasons: tuple[str, ...]


def judge(evaluation: Evaluation, gates: Gates) -> Decision:
    """Decide whether a challenger may go to production; higher metrics are better.

    Reasons name every gate that failed or, if none did, what carried the decision. What is no value of the metric
    passes no gate: of NaN every comparison is false, so it is looked for first.
    """
    failed = [*_impossible(evaluation)] or [*_failures(evaluation, gates)]
    if failed:
        return Decision(passed=False, reasons=tuple(failed))
    best = f"{evaluation.metric} {evaluation.challenger} over baseline {evaluation.baseline.value:.4f}"
    if evaluation.champion is None or evaluation.gain is None:
        return Decision(passed=True, reasons=(f"{best}; there is no champion yet",))
    return Decision(
        passed=True, reasons=(f"{best}; gain {evaluation.gain} over champion v{evaluation.champion_version}",)
    )


def _failures(evaluation: Evaluation, gates: Gates) -> Iterator[str]:
    found = evaluation.challenger
    if found.value < gates.min_metric:
        yield f"{evaluation.metric} {found} is below the gate {gates.min_metric}"
    if found.low <= evaluation.baseline.value:
        yield f"{evaluation.metric} {found} does not clear the naive baseline {evaluation.baseline.value:.4f}"
    if evaluation.gain is not None and evaluation.gain.value < gates.min_gain:
        yield f"gain {evaluation.gain} over champion v{evaluation.champion_version} is below {gates.min_gain}"
    for name, slice_ in evaluation.slices.items():
        if gates.min_slice is not None and slice_["rows"] >= gates.slice_rows and slice_["value"] < gates.min_slice:
            yield f"{evaluation.metric} {slice_['value']:.4f} in slice {name} is below {gates.min_slice}"


def _impossible(evaluation: Evaluation) -> Iterator[str]:
    """Yield what is no value of its metric, or is missing."""
    metric = evaluation.metric
    for name in ("challenger", "baseline", "champion"):
        yield from _no_values(f"the {name}'s {metric}", getattr(evaluation, name), lambda one: is_value(metric, one))
    yield from _no_values(f"the gain in {metric}", evaluation.gain, lambda one: is_gain(metric, one))
    if (evaluation.champion is None) != (evaluation.gain is None):
        yield f"the {'gain over the champion' if evaluation.gain is None else 'champion'} is missing"
    for name, slice_ in evaluation.slices.items():
        rows, value = slice_.get("rows", math.nan), slice_.get("value", math.nan)
        if not (math.isfinite(rows) and rows >= 0 and is_value(metric, value)):
            yield f"{metric} {value} on {rows:.0f} rows in slice {name} is no value of that metric"


def _no_values(name: str, found: Estimate | None, fits: Callable[[float], bool]) -> Iterator[str]:
    if found is not None and not all(map(fits, (found.value, found.low, found.high))):
        yield f"{name}, {found}, is no value of that metric"
