"""The sections of a product: what it is for, its data, features, label, training, evaluation, serving, monitoring."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from airflow_mlops_provider.extensions import DRIFT_METHODS, VALIDATORS
from airflow_mlops_provider.lifecycle.frozen import Frozen, only_known, unique
from airflow_mlops_provider.lifecycle.owners import Owners as Owners  # noqa: PLC0414  # declared with a product
from airflow_mlops_provider.lifecycle.placed import Placed
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.release.declared import Gates as Gates  # noqa: PLC0414  # declared with a product
from airflow_mlops_provider.lifecycle.serving.target import Serving as Serving  # noqa: PLC0414  # declared with a product
from airflow_mlops_provider.lifecycle.shape import Columns, LabelColumns, View
from airflow_mlops_provider.lifecycle.source import Column
from airflow_mlops_provider.lifecycle.source import DataType as DataType  # noqa: PLC0414  # declared with a product
from airflow_mlops_provider.lifecycle.source import Source as Source  # noqa: PLC0414  # declared with a product
from airflow_mlops_provider.lifecycle.trainer import Code, Name
from airflow_mlops_provider.lifecycle.trainer import Trainer as Trainer  # noqa: PLC0414  # declared with a product

#: What holds data against its expectations, and what measures drift: ours by name, another's by name or import path.
ValidatorName = Annotated[str, AfterValidator(VALIDATORS.checked), VALIDATORS]
DriftMethodName = Annotated[str, AfterValidator(DRIFT_METHODS.checked), DRIFT_METHODS]


_DEFAULTS = "airflow_mlops_provider.scoring.defaults"


class Kpi(Frozen):
    """The number by which the business judges the product: from ``target`` on, in ``unit``, it is a success."""

    name: str
    target: float
    unit: str


class Value(Frozen):
    """What predictions are worth, in ``currency``: by alarm, by outcome, or as a function says.

    :param per_hit, per_false_alarm: what a right alarm brings and a false one costs, where something is so or not.
    :param matrix: what a prediction of a class brings, by the true class: ``{"rain": {"rain": 5, "dry": -20}}``; what
        is not there brings nothing.
    :param function: ``value(rows: DataFrame) -> Series``: what each row brought, of its label and prediction columns.
    """

    per_hit: float | None = Field(default=None, gt=0)
    per_false_alarm: float = Field(default=0.0, ge=0)
    matrix: dict[str, dict[str, float]] | None = None
    function: Code | None = None
    currency: str = "USD"

    @model_validator(mode="after")
    def _is_told_once(self) -> Value:
        given = [name for name in ("per_hit", "matrix", "function") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"say what a prediction is worth by per_hit, matrix or function; given: {given or 'none'}")
        return self

    def __str__(self) -> str:
        if self.per_hit is not None:
            return f"{self.per_hit:,.0f} {self.currency} a hit, {-self.per_false_alarm:,.0f} a false alarm"
        return f"{self.currency}, as {self.function} says" if self.function else f"{self.currency}, by true class"

    @property
    def threshold(self) -> float:
        """The probability from which an alarm pays: cost over cost plus gain (Elkan, 2001, eq. 2)."""
        return self.per_false_alarm / ((self.per_hit or 1.0) + self.per_false_alarm)


class Label(LabelColumns):
    """The truth that is to be predicted, and how it is found.

    :param examples: ``examples(tables: dict[str, DataFrame], interval) -> DataFrame``: the rows to predict: request
        columns, ``event_time``, and, without a table ``truth``, label and the time at which the label becomes known.
        None: the rows of the table ``source``, at their own time.
    :param source: the source whose rows these are; with a single one that.
    :param known_after: how long after its row's time such a label becomes known, where no column ``known_at`` says so.
    """

    known_at: Column = "label_known_at"
    examples: Code | None = None
    source: Name | None = None
    known_after: timedelta = Field(default=timedelta(0), ge=timedelta(0))
    description: str = ""


class Windows(Frozen):
    """How many data intervals a model learns from, and how many later ones it is judged on.

    :param wait: how many of the newest are left alone, as most of their labels are still to come.
    """

    train: int = Field(default=3, ge=1)
    evaluate: int = Field(default=1, ge=1)
    wait: int = Field(default=0, ge=0)


class Monitoring(Placed):
    """Limits beyond which the loop reacts.

    :param drift_share: share of drifted model inputs, 0 to 1.
    :param prediction_drift: distance of the predictions' distribution from the training window's (Wasserstein,
        normed by the reference's standard deviation).
    :param min_metric: the metric on arrived labels that the live model must reach.
    :param sample: rows drawn from each side for the drift report.
    :param drift_method: what measures both.
    """

    drift_share: float = Field(default=0.5, ge=0, le=1)
    prediction_drift: float = Field(default=0.3, ge=0)
    min_metric: float | None = None
    sample: int = Field(default=5000, ge=100)
    drift_method: DriftMethodName = "evidently"


class Retraining(Frozen):
    """When a new model is worth its cost.

    :param after_intervals: new feature intervals since the last training that make one due.
    :param cooldown_intervals: feature intervals that must pass before drift may ask again.
    """

    after_intervals: int = Field(default=3, ge=1)
    cooldown_intervals: int = Field(default=1, ge=0)


class Retuning(Frozen):
    """How far a training may search by itself around its fixed settings when its evaluation does not pass the gates.

    :param trials: how many others it tries at most; 0 for none.
    :param minutes: training time that they may take, all added.
    :param spread: a number is varied from its value divided by this to its value times this.
    """

    trials: int = Field(default=8, ge=0, le=100)
    minutes: float = Field(default=10.0, gt=0)
    spread: float = Field(default=2.0, gt=1, le=10)


class Schedule(Frozen):
    """When data intervals begin and end: a cron expression in UTC.

    :param start: the first begins then; None: the first is the one in which the product's DAGs are first switched on.
    :param end: the last begins before it; None for no end.
    """

    cron: str = "0 0 * * *"
    start: datetime | None = None
    end: datetime | None = None


class Business(Frozen):
    """Why the product exists, what an answer is worth, and who answers for it."""

    kpi: Kpi
    value: Value | None = None
    owners: Owners


class Data(Placed):
    """Where the data comes from and what must hold of it.

    :param clean: ``clean(raw: dict[str, DataFrame], interval) -> dict[str, DataFrame]``: raw sources to clean tables,
        of pandas, Polars or Arrow (``dict[str, Table]``), as annotated. By default they stay as they are.
    :param expectations: ``expectations(dataset: str) -> list``: a dataset's name to what is expected of it, in the
        validator's own terms. By default nothing beyond the declared columns and types.
    :param validator: what holds data against that.
    :param known_later: for clean tables, ``{table: {time column: columns known only from then}}``; the leakage probe
        hides them until that time.
    """

    sources: tuple[Source, ...]
    clean: Code = f"{_DEFAULTS}:clean"
    expectations: Code = f"{_DEFAULTS}:expectations"
    validator: ValidatorName = "great_expectations"
    known_later: dict[Name, dict[Column, tuple[Column, ...]]] = {}

    @model_validator(mode="after")
    def _names_differ(self) -> Data:
        unique("source declared", [source.name for source in self.sources])
        return self

    def source(self, name: str) -> Source:
        """Return the source of that name. :raises UnknownNameError: if there is none; lists the known ones."""
        by_name = {source.name: source for source in self.sources}
        only_known("source", [name], by_name)
        return by_name[name]


class Features(Placed, Columns):
    """What is computed of clean tables, and how a row of it becomes a model's input.

    :param compute: ``compute(tables: dict[str, DataFrame], interval) -> dict[str, DataFrame]``: clean tables of this
        interval and ``lookback`` before it, to a frame of feature rows a view, ``event_time`` within the interval.
        Without views there is nothing to compute, and the model takes what callers give.
    :param request: the columns, with types, that a caller gives for each row beside ``event_time``; by default those of
        the label's source, without the label, its time, and what is known only later.
    :param assemble: ``assemble(rows: DataFrame) -> DataFrame``: request columns, ``event_time`` and joined features to
        the model's inputs, row by row. The same function serves training, batch and REST. By default all of them but
        times, as they are, text as categories.
    :param lookback: whole earlier intervals of clean tables that features need.
    :param remake_stale: whether what stands on data that came late or was corrected is made anew by itself; else it is
        named, and ``airflow mlops stale`` lists it.
    """

    compute: Code = f"{_DEFAULTS}:compute"
    views: tuple[View, ...] = ()
    request: dict[Column, DataType] = {}
    assemble: Code = f"{_DEFAULTS}:assemble"
    lookback: int = Field(default=1, ge=0)
    remake_stale: bool = True


class Training(Placed):
    """How a model is trained, on how much, and when again."""

    trainer: Trainer
    windows: Windows = Windows()
    retraining: Retraining = Retraining()
    retuning: Retuning = Retuning()


class EvaluationSettings(Placed):
    """How models are judged, and what they must show.

    :param metric: one of the problem's by name, or a :class:`.Metric` of your own; None for the problem's first.
    :param baseline: request column whose past label rate is the naive prediction; None for the overall rate.
    :param slices: request columns by which the evaluation is broken down.
    """

    metric: str | Metric | None = None
    baseline: Column | None = None
    slices: tuple[Column, ...] = ()
    gates: Gates = Gates()
