"""Whether what an evaluation found is enough for production: what each gate says, and what that comes to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.release import declared
from airflow_mlops_provider.lifecycle.release.declared import Gates
from airflow_mlops_provider.lifecycle.release.evaluation import Compared, Evaluation


class GateResult(Frozen):
    """What a gate said of a version.

    :param name: one of ``declared.NAMES``. :param outcome: ``passed``, ``failed``, ``waived`` or ``not asked for``.
    :param figure, limit: what was measured and what is allowed; None where that is no one number.
    :param reason: both in a sentence, or who waived it, until when and why.
    """

    name: str
    outcome: str
    figure: float | None = None
    limit: float | None = None
    reason: str

    @classmethod
    def of(
        cls, name: str, missed: list[str], met: str, figure: float | None = None, limit: float | None = None
    ) -> Self:
        """Return a gate's result: failed if something is missed."""
        shown = figure if figure is not None and math.isfinite(figure) else None
        outcome, reason = ("failed", "; ".join(missed)) if missed else ("passed", met)
        return cls(name=name, outcome=outcome, figure=shown, limit=limit, reason=reason)


class Decision(Frozen):
    """A yes or no with its reasons, and what each gate said."""

    passed: bool
    reasons: tuple[str, ...]
    results: tuple[GateResult, ...] = ()

    @property
    def failed(self) -> tuple[GateResult, ...]:
        """The gates that were not passed, and that nobody waived."""
        return tuple(result for result in self.results if result.outcome == "failed")

    @property
    def searchable(self) -> bool:
        """Whether a gate failed that other settings of the trainer could pass."""
        return any(result.name not in declared.OF_THE_FORM for result in self.failed)


def judge_data(validation: Report) -> Decision:
    """Decide whether a model may go on that was trained on some validated data."""
    passed, checked = validation.verdict("expectations"), validation.facts.get("checked")
    met = f"its training data met all {checked} expectations"
    result = GateResult.of(declared.DATA, [] if passed else [*validation.broken], met)
    return Decision(passed=passed, reasons=(met,) if passed else validation.broken, results=(result,))


def judge_card(unfilled: Sequence[str] | None, *, required: bool) -> GateResult:
    """Judge a model card by the sections that say nothing.

    :param unfilled: their titles; None: there is no card that can be read.
    :param required: whether the product says what it is for and who answers for it, without which no card is whole.
    """
    if not required:
        return GateResult(name=declared.CARD, outcome="not asked for", reason="the product has no business section")
    missed = ["no model card can be read"] if unfilled is None else []
    missed += [f"the model card says nothing under {', '.join(unfilled)}"] if unfilled else []
    return GateResult.of(
        declared.CARD, missed, "each section of the model card is filled", float(len(unfilled or ())), 0.0
    )


def judge(evaluation: Evaluation, gates: Gates, metric: Metric, card: GateResult | None = None) -> Decision:
    """Decide whether a challenger may go to production: the reasons are the gates that failed, or what carried it.

    :param card: what was said of its model card; before it is registered there is none.
    """
    # What is no value of the metric passes no gate: of NaN every comparison is false, so it is looked for first.
    if impossible := [*_impossible(evaluation, metric)]:
        result = GateResult.of(declared.EVIDENCE, impossible, "")
        return Decision(passed=False, reasons=tuple(impossible), results=(result,))
    results = (*_by_metric(evaluation, gates, metric), *_by_model(evaluation, gates), *((card,) if card else ()))
    decision = Decision(passed=True, reasons=(carried(evaluation, metric),), results=results)
    failed = tuple(result.reason for result in decision.failed)
    return Decision(passed=False, reasons=failed, results=results) if failed else decision


def carried(evaluation: Evaluation, metric: Metric) -> str:
    """Return what speaks for a challenger."""
    best = f"{metric.name} {evaluation.challenger} over baseline {evaluation.baseline.value:.4f}"
    over = f"gain {evaluation.gain} over champion v{evaluation.champion_version}"
    return f"{best}; {over if evaluation.gain else 'there is no champion yet'}"


def short_of_baseline(evaluation: Evaluation, metric: Metric) -> str | None:
    """Say that a challenger is not surely better than the naive baseline; None if its whole interval is."""
    challenger = evaluation.challenger
    if metric.better(challenger.low if metric.higher_is_better else challenger.high, evaluation.baseline.value):
        return None
    return f"{metric.name} {challenger} does not clear the naive baseline {evaluation.baseline.value:.4f}"


def _by_metric(evaluation: Evaluation, gates: Gates, metric: Metric) -> Iterator[GateResult]:
    challenger, gain, name = evaluation.challenger, evaluation.gain, f"{metric.name} {evaluation.challenger}"
    if (least := gates.min_metric) is not None:
        missed = [] if metric.meets(challenger.value, least) else [f"{name} is {metric.missed} the gate {least}"]
        yield GateResult.of(declared.METRIC, missed, f"{name} meets the gate {least}", challenger.value, least)
    naive, short = evaluation.baseline.value, short_of_baseline(evaluation, metric)
    met = f"{name} clears the naive baseline {naive:.4f}"
    yield GateResult.of(declared.BASELINE, [short] if short else [], met, challenger.value, naive)
    if gain is not None:
        figure, over = gain.low if gates.sure_gain else gain.value, f"over champion v{evaluation.champion_version}"
        low = ", at its lower end," if gates.sure_gain else ""
        missed = [f"gain {gain} {over}{low} is below {gates.min_gain}"] if figure < gates.min_gain else []
        yield GateResult.of(declared.CHAMPION, missed, f"gain {gain} {over}", figure, gates.min_gain)
    if gates.min_slice is not None:
        yield _slices(evaluation, gates, metric, gates.min_slice)
    if gates.max_gap is not None or gates.max_rate_gap is not None:
        yield _fairness(evaluation, gates, metric)


def _slices(evaluation: Evaluation, gates: Gates, metric: Metric, least: float) -> GateResult:
    large = {
        name: figures["value"] for name, figures in evaluation.slices.items() if figures["rows"] >= gates.slice_rows
    }
    missed = [
        f"{metric.name} {value:.4f} in slice {name} is {metric.missed} {least}"
        for name, value in large.items()
        if not metric.meets(value, least)
    ]
    worst = (min if metric.higher_is_better else max)(large.values(), default=None)
    met = f"{len(large)} slices of at least {gates.slice_rows:,} rows meet {least}"
    return GateResult.of(declared.SLICES, missed, met, worst, least)


def _fairness(evaluation: Evaluation, gates: Gates, metric: Metric) -> GateResult:
    """Hold the largest gap between the slices of each column against its limit.

    Equal shares of what is said to be so are demographic parity, an equal metric in all groups is parity of that
    metric: Agarwal et al., "A reductions approach to fair classification", ICML 2018, definition 1, and Hardt, Price
    and Srebro, "Equality of opportunity in supervised learning", NeurIPS 2016.
    """
    limits = {"metric": (metric.name, gates.max_gap), "rate": ("what is predicted", gates.max_rate_gap)}
    missed, largest = list[str](), list[tuple[float, float]]()
    by = {column: gap for column, gap in evaluation.gaps.items() if column in gates.fair_by or not gates.fair_by}
    for column, gap in by.items():
        for field, (what, limit) in limits.items():
            value = getattr(gap, field)
            if limit is None or value is None:
                continue
            largest.append((value, limit))
            if value > limit:
                missed.append(f"{what} differs by {value:.4f} between {gap.groups} groups of {column}, above {limit}")
    figure, limit = max(largest, key=lambda pair: pair[0] - pair[1], default=(None, None))
    met = f"{len(largest)} gaps between groups of {', '.join(by) or 'no column'} are within their limits"
    few = f"no column has two groups of at least {gates.slice_rows:,} rows to compare"
    return GateResult.of(declared.FAIRNESS, missed, met if largest else few, figure, limit)


def _by_model(evaluation: Evaluation, gates: Gates) -> Iterator[GateResult]:
    """Judge by what is measured of a model itself; what is to be judged and was not measured has failed."""
    cost, most = evaluation.cost, gates.max_calibration_error
    if most is not None:
        yield _at_most(declared.CALIBRATION, {"the calibration error": (evaluation.calibration, most, "")})
    times = {
        "the 99th percentile of single rows": (cost.p99_ms if cost else None, gates.max_latency_ms, " ms"),
        "1,000 rows": (cost.batch_ms if cost else None, gates.max_batch_ms, " ms"),
    }
    if gates.max_latency_ms or gates.max_batch_ms:
        yield _at_most(declared.LATENCY, times)
    if gates.max_memory_mib:
        memory = {"the model's memory": (cost.memory_mib if cost else None, gates.max_memory_mib, " MiB")}
        yield _at_most(declared.MEMORY, memory)
    for name, compared, when in (
        (declared.LOADS, evaluation.loaded, "in a new process"),
        (declared.SKEW, evaluation.skew, "by themselves"),
    ):
        if compared or (name == declared.LOADS and gates.loads):
            yield _the_same(name, compared or Compared(first="nothing was measured"), when)


def _at_most(name: str, of: Mapping[str, tuple[float | None, float | None, str]]) -> GateResult:
    """Judge figures of which each has a limit, or none; the one that is the nearest to its limit is shown."""
    missed, met, nearest = list[str](), list[str](), list[tuple[float, float | None, float]]()
    for what, (value, limit, unit) in of.items():
        if limit is None:
            continue
        nearest.append((math.inf if value is None else value - limit, value, limit))
        if value is None:
            missed.append(f"{what}: nothing was measured")
        elif value <= limit:
            met.append(f"{what}: {value:.4g}{unit}, at most {limit:g}{unit}")
        else:
            missed.append(f"{what}: {value:.4g}{unit} is above {limit:g}{unit}")
    _, figure, most = max(nearest, key=lambda part: part[0])
    return GateResult.of(name, missed, "; ".join(met), figure, most)


def _the_same(name: str, compared: Compared, when: str) -> GateResult:
    """Judge predictions of which none may differ."""
    lacking = [f"nothing to compare: {compared.first}"] if not compared.rows else []
    other = f"{compared.differing} of {compared.rows} rows get other predictions {when}: {compared.first}"
    met = f"{compared.rows} rows get the same predictions {when}, to the bit"
    missed = [other] if compared.differing else lacking
    return GateResult.of(name, missed, met, float(compared.differing), 0.0)


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
    for column, gap in evaluation.gaps.items():
        if not (metric.allows_gain(gap.metric or 0.0) and 0 <= (gap.rate or 0.0) <= 1):
            yield f"the gap between groups of {column}, {gap.metric} and {gap.rate}, can't be"
    for name, figures in evaluation.slices.items():
        rows, value = figures.get("rows", math.nan), figures.get("value", math.nan)
        if not (math.isfinite(rows) and rows >= 0 and metric.allows(value)):
            yield f"{metric.name} {value} on {rows:.0f} rows in slice {name} is no value of that metric"
