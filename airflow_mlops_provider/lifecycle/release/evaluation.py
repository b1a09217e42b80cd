"""What an evaluation found of a challenger, the champion and a naive baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict

from airflow_mlops_provider.lifecycle.frozen import Frozen

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


class Gap(Frozen):
    """How far the slices of a column lie apart.

    :param groups: how many have rows enough. :param metric: between the best and the worst of these; None for fewer
        than two. :param rate: the same of the share of rows that are said to be so; of classes the largest.
    """

    groups: int
    metric: float | None = None
    rate: float | None = None


class Compared(Frozen):
    """Rows of which two ways of predicting were held against each other, bit by bit.

    :param first: what is wrong with the first that differ, or why there was nothing to compare.
    """

    rows: int = 0
    differing: int = 0
    first: str = ""


class Cost(Frozen):
    """What a model took in a process that held nothing else.

    :param p50_ms, p99_ms: how long half, and all but one of a hundred, of single rows took at most; without features.
    :param batch_ms: how long 1,000 rows took. :param memory_mib: its memory at the most, its library with it.
    """

    p50_ms: float
    p99_ms: float
    batch_ms: float
    memory_mib: float

    @classmethod
    def of(cls, metrics: Mapping[str, float]) -> Cost | None:
        """Return what the record of an evaluation says of it; None if nothing was measured."""
        known = {name: metrics.get(name) for name in cls.model_fields}
        return None if None in known.values() else cls.model_validate(known)


class Worth(Frozen):
    """What the predictions of each contender would have brought on the window, by what the product declares of it."""

    currency: str
    amounts: dict[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {amount:,.0f} {self.currency}" for name, amount in self.amounts.items())


class Evaluation(Frozen):
    """A challenger, the champion and a naive baseline on the same later window.

    :param rows: examples in it whose truth is known.
    :param gain: by how much the challenger is better than the champion, paired on the same resamples; None without one.
    :param worth: None where no value is declared, or none of such predictions.
    :param slices: for each slice, such as ``origin=JFK``, its rows and the challenger's metric.
    :param left_out: the slices that have no metric, by column and reason.
    :param gaps: for each column by which it is sliced, how far its slices lie apart.
    :param calibration: how far what the challenger says is from how often it was so; None where a problem has no such.
    :param loaded: its predictions in a new process, against those that were kept with it.
    :param skew: its predictions for rows by themselves, as serving gets them, against those for all together.
    :param cost: what it took; never in the evaluation's own file, since it is another each time.
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
    worth: Worth | None = None
    slices: dict[str, dict[str, Measured]] = {}
    left_out: tuple[LeftOut, ...] = ()
    gaps: dict[str, Gap] = {}
    calibration: float | None = None
    loaded: Compared | None = None
    skew: Compared | None = None
    cost: Cost | None = None

    @property
    def contenders(self) -> dict[str, Estimate]:
        """The metric of each model that was compared, and of the baseline."""
        compared = {"challenger": self.challenger, "champion": self.champion, "baseline": self.baseline}
        return {name: estimate for name, estimate in compared.items() if estimate is not None}
