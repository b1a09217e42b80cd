"""What is proposed for data: all that a product says, each with its reason, for a person to read and to change."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from airflow_mlops_provider.lifecycle.expectation import Expectation
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.initiation.problem import Problem
from airflow_mlops_provider.lifecycle.initiation.profile import Grain, Naive, Reading
from airflow_mlops_provider.lifecycle.sections import Kpi, Schedule, Windows
from airflow_mlops_provider.lifecycle.source import Column, DataType
from airflow_mlops_provider.lifecycle.trainer import Name


class Split(Frozen):
    """Which rows a model is judged on.

    :param kind: the newest by ``time``; those of some values of a ``group``; or those that a ``hash`` chooses, the same
        rows each time.
    :param by: the columns that decide. :param share: of all rows.
    """

    kind: Literal["time", "group", "hash"]
    by: tuple[Column, ...] = ()
    share: float = Field(default=0.2, gt=0, lt=1)
    reason: str


class Delivery(Frozen):
    """How data arrives from now on.

    :param by: ``time``: rows go to the interval of their time; ``file``: a file is an interval's, one each day.
    :param grain: how long an interval is. :param intervals: how many the data hold.
    :param added: the column to which a time is put that is no time in the data: in parts, or a number.
    :param zone: the zone of times that name none; None where each names its own, or there is none.
    :param gaps: whether an interval may have no row.
    """

    by: Literal["time", "file"]
    time: Column | None = None
    time_parts: tuple[Column, ...] = ()
    time_written: str = ""
    added: Column | None = None
    zone: str | None = None
    grain: Grain = "day"
    intervals: int = 1
    gaps: bool = False
    schedule: Schedule
    reason: str


class Limits(Frozen):
    """What a model must show, and from where on the loop reacts.

    :param metric_limit: what the naive prediction reaches: a model must be better. None where none was made.
    :param drift_share: share of inputs that may have drifted. :param drift_reason: why this much.
    """

    metric: str
    metric_limit: float | None = None
    reason: str
    drift_share: float = Field(default=0.5, ge=0, le=1)
    drift_reason: str = "by default"


class LeftOut(Frozen):
    """A column that is no input of the model, and why."""

    column: Column
    reason: str


class Proposal(Frozen):
    """A product, proposed: all that is needed to write it down.

    :param columns: those of the source, with the types by which they are declared.
    :param written: columns that are text in the source and mean something else: their type, and how it is written.
    :param gaps: the columns in which values are missing.
    :param label: None where nothing is labelled. :param label_delay_days: after which almost all labels have come.
    :param label_known_at: the column that says when a label became known.
    :param classes: the names of classes, or of things that a label lists, with a ``separator`` between them, which
        is empty where that differs. :param positive: of a label of two values the one that is predicted.
    :param step: how far ahead is forecast.
    :param keys: the columns that tell entities apart: series, queries, customers.
    :param inputs: the columns that a model may learn from. :param left_out: the others, and why.
    :param known_later: time column to the columns that are known only from then on.
    :param decide: what a person must still decide.
    """

    name: Name
    goal: str
    kpi: Kpi
    owner: str
    reading: Reading
    columns: dict[Column, DataType]
    written: dict[Column, tuple[DataType, str]] = {}
    gaps: tuple[Column, ...] = ()
    problem: Problem
    label: Column | None = None
    classes: tuple[str, ...] = ()
    separator: str = ""
    positive: str | None = None
    step: Grain | None = None
    label_known_at: Column | None = None
    label_delay_days: float | None = None
    keys: tuple[Column, ...] = ()
    inputs: tuple[Column, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    known_later: dict[Column, tuple[Column, ...]] = {}
    split: Split
    naive: Naive | None = None
    expectations: tuple[Expectation, ...] = ()
    limits: Limits
    delivery: Delivery
    windows: Windows
    decide: tuple[str, ...] = ()
