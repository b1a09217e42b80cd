"""The columns of a row on its way to the model: what the caller gives, what the feature store knows, the truth.

Of a table as it is, nothing is declared but which column is the truth.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from airflow_mlops_provider.lifecycle.frozen import Frozen, only_known, unique
from airflow_mlops_provider.lifecycle.problem import DeclaredProblem
from airflow_mlops_provider.lifecycle.source import EVENT_TIME, Column, DataType
from airflow_mlops_provider.lifecycle.trainer import Code, Name


class View(Frozen):
    """A table of features of an entity that ``keys`` name: a row for each and each time when something became known.

    :param features: feature names and their types; each row also has an ``event_time`` in UTC.
    """

    name: Name
    keys: tuple[Column, ...] = Field(min_length=1)
    features: dict[Name, DataType] = Field(min_length=1)
    description: str = ""

    @model_validator(mode="after")
    def _no_overlap(self) -> View:
        unique(f"view {self.name!r}: key or feature declared", [*self.keys, *self.features])
        return self


class LabelColumns(Frozen):
    """The column of the truth that is to be predicted, and the one that says when it became known.

    :param truth: the clean table in which both arrive as they become known, in whatever interval that is, twice or
        corrected; None where the examples of an interval hold their own truth.
    :param weight: the column of the examples that says how much a row counts, in training and in metrics.
    :param by: the columns by which a row of that table is an example's, of the request and ``event_time``.
    :param delay: in how many intervals after its own an example's truth may arrive; until then it is looked for.
    """

    column: Column
    known_at: Column
    weight: Column | None = None
    truth: Name | None = None
    by: tuple[Column, ...] = ()
    delay: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.truth) != bool(self.by) or (self.delay and not self.truth):
            raise ValueError(
                "a truth that arrives by itself is a table and its keys: give truth and by; delay is its delay"
            )
        return self


class Columns(Frozen):
    """The columns of a row that are no truth: those that a caller gives, and those of the feature store."""

    views: tuple[View, ...]
    request: dict[Column, DataType]

    @model_validator(mode="after")
    def _views_fit(self) -> Self:
        only_known("view key", {key for view in self.views for key in view.keys}, self.request)
        unique("view declared", [view.name for view in self.views])
        unique("feature declared", [feature for view in self.views for feature in view.features])
        return self


class Shape(Columns):
    """The columns of a row on its way to the model: the caller's ``request``, those of the feature store, the truth.

    :param name: under which the feature store knows them; of a product its own.
    :param problem: the kind of truth, such as ``regression``.
    :param request: columns and types that a caller gives for each row, the keys of ``views`` among them.
    """

    name: Name
    problem: DeclaredProblem
    label: LabelColumns

    @model_validator(mode="after")
    def _truth_fits(self) -> Self:
        only_known("label.by column", self.label.by, self.row_columns)
        return self

    @property
    def entity_columns(self) -> tuple[str, ...]:
        """The request columns that name an entity, in the order of the views."""
        return tuple(dict.fromkeys(key for view in self.views for key in view.keys))

    @property
    def feature_types(self) -> dict[str, DataType]:
        """Every stored feature with its declared type, in the order of the views."""
        return {name: kind for view in self.views for name, kind in view.features.items()}

    @property
    def named_by(self) -> tuple[str, ...]:
        """The columns by which a row is the same when it comes again, though others of it were corrected."""
        return self.label.by or tuple(self.row_columns)

    @property
    def row_columns(self) -> dict[str, DataType]:
        """The columns of a row to predict, ``event_time`` among them, and their types."""
        return {**self.request, EVENT_TIME: "timestamp"}


class Scoring(Shape):
    """The same, and the function that makes the model's inputs of it; by default all but the time, as they are."""

    assemble: Code = "airflow_mlops_provider.scoring.as_they_are:assemble"


class Target(Frozen):
    """The truth in a table, of which all other columns are inputs.

    :param problem: the kind of problem, such as ``regression``.
    :param column: the column of the truth.
    :param weight: the column that says how much a row counts.
    :param leave_out: columns that are no inputs: keys, times, what is known only later.
    """

    problem: DeclaredProblem
    column: Column
    weight: Column | None = None
    leave_out: tuple[Column, ...] = ()


class TimedTarget(Target):
    """The same of a table whose rows are split: those to judge on are later by the column ``time``.

    A truth counts as known at its row's time.
    """

    time: Column

    def untimed(self) -> Target:
        """Return what a training or an evaluation takes of it."""
        return Target(**{name: getattr(self, name) for name in Target.model_fields})
