"""What a kind of problem decides: labels, metrics and their direction, baseline, intervals, predictions, value.

A kind of problem is one module in this folder, or one elsewhere that a declaration names by ``package.module:Object``
or an entry point: it is imported while DAGs are parsed, and so loads numpy and pandas only inside its functions.
"""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.problem import AnyProblem, configured
from airflow_mlops_provider.problems.base import Problem


def find(declared: AnyProblem) -> Problem:
    """Return the kind of problem that a declaration names, with its options.

    :raises UnknownNameError: if there is none; the message lists the known names.
    :raises PartError: if what has that name is something else.
    """
    problem: Problem = configured(declared)
    return problem
