"""What a model learns from a table as it is: nothing is declared of its columns but which one is the truth."""

from __future__ import annotations

from typing import Annotated

from airflow_mlops_provider.extensions import PROBLEMS
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.source import Column


class Target(Frozen):
    """The truth in a table, of which all other columns are inputs.

    :param problem: the kind of problem, ``regression`` or ``binary_classification``, or another's.
    :param column: the column of the truth.
    :param leave_out: columns that are no inputs: keys, times, what is known only later.
    """

    problem: Annotated[str, PROBLEMS]
    column: Column
    leave_out: tuple[Column, ...] = ()


class TimedTarget(Target):
    """The same of a table whose rows are split: those to judge on are later by the column ``time``.

    A truth counts as known at its row's time.
    """

    time: Column

    def untimed(self) -> Target:
        """Return what a training or an evaluation takes of it."""
        return Target(**{name: getattr(self, name) for name in Target.model_fields})
