"""What an evaluation found, and whether that is enough for production."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.product import Gates


class Estimate(Frozen):
    """A metric with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

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

    metric: str
    window: str
    rows: int
    challenger: Estimate
    baseline: Estimate
    champion: Estimate | None = None
    champion_version: int | None = None
    gain: Estimate | None = None
    slices: dict[str, dict[str, float]] = {}
    left_out: tuple[LeftOut, ...] = ()


class Decision(Frozen):
    """A yes or no with its reasons."""

    passed: bool
    reasons: tuple[str, ...]


def judge(evaluation: Evaluation, gates: Gates) -> Decision:
    """Decide whether a challenger may go to production; higher metrics are better.

    Reasons name every gate that failed or, if none did, what carried the decision.
    """
    failed = list(_failures(evaluation, gates))
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
