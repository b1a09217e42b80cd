"""What a product declares that a model version must show, and the gates that hold it against that."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import Field

from airflow_mlops_provider.lifecycle.frozen import Frozen, only_known
from airflow_mlops_provider.lifecycle.problem import AnyProblem, configured
from airflow_mlops_provider.lifecycle.source import Column

DATA, METRIC, BASELINE, CHAMPION, SLICES, FAIRNESS = "data", "metric", "baseline", "champion", "slices", "fairness"
CALIBRATION, LATENCY, MEMORY, LOADS, SKEW, CARD = "calibration", "latency", "memory", "loads", "skew", "card"
#: Whether the figures are such at all. No gate that is declared: it is always there.
EVIDENCE = "evidence"
NAMES = (
    DATA, METRIC, BASELINE, CHAMPION, SLICES, FAIRNESS, CALIBRATION, LATENCY, MEMORY, LOADS, SKEW, CARD, EVIDENCE,
)  # fmt: skip
#: What no person can take the blame for: a model that nobody can load, and figures that are none.
NEVER_WAIVED = (LOADS, EVIDENCE)
#: What a clock or the machine's memory decides: the same work gives other figures each time.
MEASURED = (LATENCY, MEMORY)
#: What a model is like beside what it says: a search for a better metric changes none of it.
OF_THE_FORM = (*MEASURED, LOADS, SKEW, CARD)

Share = Annotated[float, Field(ge=0, le=1)]
Above0 = Annotated[float, Field(gt=0)]


class Gates(Frozen):
    """What a model version must show before production. Of a metric of which less is better, "least" means "most".

    :param min_metric: the least metric on the evaluation window; None: better than the naive baseline is enough.
    :param min_gain: by how much it must be better than the champion on the same window; negative allows a small loss.
    :param sure_gain: whether the lower end of the gain's interval must reach that, and not only the gain.
    :param min_slice: the least metric in each slice of at least ``slice_rows`` rows; None for no such gate.
    :param max_gap: how far the metric may lie apart between the slices of a column, of at least ``slice_rows`` rows.
    :param max_rate_gap: how far the share of rows may lie apart that are said to be so, or of each class.
    :param fair_by: the columns, of those by which the evaluation is sliced, for which both hold; by default all.
    :param max_calibration_error: how far probabilities, or quantiles, may be from how often it was so; see the problem.
    :param max_latency_ms: how long a single row may take, of a hundred all but one; without features and network.
    :param max_batch_ms: how long 1,000 rows together may take.
    :param max_memory_mib: how much memory the model and its library may take, at most at any time.
    :param loads: whether it must load in a new process, and predict there what it did when it was trained.
    """

    min_metric: float | None = None
    min_gain: float = 0.0
    sure_gain: bool = False
    min_slice: float | None = None
    slice_rows: int = 1000
    max_gap: Annotated[float, Field(ge=0)] | None = None
    max_rate_gap: Share | None = None
    fair_by: tuple[Column, ...] = ()
    max_calibration_error: Share | None = None
    max_latency_ms: Above0 | None = None
    max_batch_ms: Above0 | None = None
    max_memory_mib: Above0 | None = None
    loads: bool = False

    @property
    def needs_process(self) -> bool:
        """Whether the model is to be loaded in a process of its own, and measured there."""
        return self.loads or any((self.max_latency_ms, self.max_batch_ms, self.max_memory_mib))


def check_gates(problem: AnyProblem, gates: Gates, slices: Collection[str]) -> None:
    """:raises ValueError: if gates are of what such a problem, or its evaluation, does not have."""
    kind = configured(problem)
    only_known("column of gates.fair_by", gates.fair_by, slices)
    if (gates.max_gap is not None or gates.max_rate_gap is not None) and not slices:
        raise ValueError("gates.max_gap and max_rate_gap are of groups: name their columns, evaluation.slices=(…)")
    if gates.max_rate_gap is not None and not kind.decides:
        raise ValueError(f"gates.max_rate_gap can't be: of no row {problem} says that something is so")
    if gates.max_calibration_error is not None and not kind.calibrates:
        raise ValueError(f"gates.max_calibration_error can't be: {problem} gives no probabilities or quantiles")
