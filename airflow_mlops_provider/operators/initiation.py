"""Initiation: looking at data before there is a product, and proposing one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.initiation.problem import KINDS
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.links import ReportLink
from airflow_mlops_provider.operators.validation import judged


class DataProfileOperator(JobOperator):
    """Looks at any table, and proposes a product for it: problem, label, split, metric, limits, schedule.

    It hands on a report, with the page, ``profile.json`` and ``proposal.json``. The report passes if there are labels
    and no column gives them away.

    :param data: what another task hands on, a path or pattern, ``Files`` or ``Sql``.
    :param label, time, problem: what is known already; what is not said is proposed. The label ``none`` means that
        nothing is labelled.
    :param table: of a dataset with several tables, which is meant.
    :param fail: whether the task fails if the report does not pass, once it is published.
    :raises UnknownNameError: for a kind of problem that there is not.
    """

    job = "profile"
    roles = ("data",)
    template_fields: Sequence[str] = ("data", *JobOperator.template_fields)
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        data: Any,
        label: str | None = None,
        time: str | None = None,
        problem: str | None = None,
        table: str | None = None,
        fail: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if problem is not None and problem not in KINDS:
            raise UnknownNameError("kind of problem", problem, KINDS)
        self.data, self.fail = data, fail
        self.take(label=label, time=time, problem=problem, table=table, owner=self.owner)

    def interval(self, context: Context) -> Interval | None:
        """Return the table's own data interval: what is seen depends on no other."""
        return super().interval({})

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        return judged(manifest, context, "profile", "reason(s) not to learn from this as it is", fail=self.fail)
