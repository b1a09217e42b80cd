"""What an evaluation found, and whether that is enough for production."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.sections import Gates

#: What was measured, NaN and nothing at all included: the gates refuse those by name.
Measured = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


class Estimate(Frozen):
    """A metric with its 95 % bootstrap interval."""

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="null")

    value: Measured
    low: Measured
    high: Measured

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def within(self, allows: Callable[[float], bool]) -> bool:
        """Say whether value and interval are all allowed."""
        return all(map(allows, (self.value, self.low, self.high)))


class LeftOut(Frozen):
    """Values of a column that were no slices: how many, on how many rows, and the rows of the ``largest``, by value."""

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

    :param rows: examples in it whose truth is known.
    :param gain: by how much the challenger is better than the champion, paired on the same resamples; None without one.
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

    @property
    def contenders(self) -> dict[str, Estimate]:
        """The metric of each model that was compared, and of the baseline."""
        compared = {"challenger": self.challenger, "champion": self.champion, "baseline": self.baseline}
        return {name: estimate for name, estimate in compared.items() if estimate is not None}


class Decision(Frozen):
    """A yes or no with its reasons."""

    passed: bool
    reasons: tuple[str, ...]


def judge_data(validation: Report) -> Decision:
    """Decide whether a model may go on that was trained on some validated data."""
    if validation.verdict("expectations"):
        met = f"its training data met all {validation.facts['checked']} expectations"
        return Decision(passed=True, reasons=(met,))
    return Decision(passed=False, reasons=validation.broken)


def judge(evaluation: Evaluation, gates: Gates, metric: Metric) -> Decision:
    """Decide whether a challenger may go to production: the reasons are the gates that failed, or what carried it."""
    # What is no value of the metric passes no gate: of NaN every comparison is false, so it is looked for first.
    failed = [*_impossible(evaluation, metric)] or [*_failures(evaluation, gates, metric)]
    if failed:
        return Decision(passed=False, reasons=tuple(failed))
    best = f"{metric.name} {evaluation.challenger} over baseline {evaluation.baseline.value:.4f}"
    over = f"gain {evaluation.gain} over champion v{evaluation.champion_version}"
    return Decision(passed=True, reasons=(f"{best}; {over if evaluation.gain else 'there is no champion yet'}",))


def short_of_baseline(evaluation: Evaluation, metric: Metric) -> str | None:
    """Say that a challenger is not surely better than the naive baseline; None if its whole interval is."""
    challenger = evaluation.challenger
    if metric.better(challenger.low if metric.higher_is_better else challenger.high, evaluation.baseline.value):
        return None
    return f"{metric.name} {challenger} does not clear the naive baseline {evaluation.baseline.value:.4f}"


def _failures(evaluation: Evaluation, gates: Gates, metric: Metric) -> Iterator[str]:
    if gates.min_metric is not None and not metric.meets(evaluation.challenger.value, gates.min_metric):
        yield f"{metric.name} {evaluation.challenger} is {metric.missed} the gate {gates.min_metric}"
    if short := short_of_baseline(evaluation, metric):
        yield short
    if evaluation.gain is not None and evaluation.gain.value < gates.min_gain:
        yield f"gain {evaluation.gain} over champion v{evaluation.champion_version} is below {gates.min_gain}"
    if gates.min_slice is None:
        return
    for name, figures in evaluation.slices.items():
        if figures["rows"] >= gates.slice_rows and not metric.meets(figures["value"], gates.min_slice):
            yield f"{metric.name} {figures['value']:.4f} in slice {name} is {metric.missed} {gates.min_slice}"


def _impossible(evaluation: Evaluation, metric: Metric) -> Iterator[str]:
    """Yield what is no value of the metric, or is missing."""
    if evaluation.metric != metric.name:
        yield f"it was judged by {evaluation.metric}, and the gates are for {metric.name}"
    for name, estimate in evaluation.contenders.items():
        if not estimate.within(metric.allows):
            yield f"the {name}'s {metric.name}, {estimate}, is no value of that metric"
    if evaluation.gain and not evaluation.gain.within(metric.allows_gain):
        yield f"the gain in {metric.name}, {evaluation.gain}, is no value of that metric"
    if (evaluation.champion is None) != (evaluation.gain is None):
        yield f"the {'gain over the champion' if evaluation.gain is None else 'champion'} is missing"
    for name, figures in evaluation.slices.items():
        rows, value = figures.get("rows", math.nan), figures.get("value", math.nan)
        if not (math.isfinite(rows) and rows >= 0 and metric.allows(value)):
            yield f"{metric.name} {value} on {rows:.0f} rows in slice {name} is no value of that metric"
