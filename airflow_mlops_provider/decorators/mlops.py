"""``@task.mlops``: a plain function as a job of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

from airflow_mlops_provider.operators.functions import FunctionRunOperator


class _FunctionDecoratedOperator(DecoratedOperator, FunctionRunOperator):
    custom_operator_name = "@task.mlops"

    def __init__(self, *, multiple_outputs: bool = False, **kwargs: Any) -> None:  # noqa: ARG002  # it is one reference
        names = ("python_callable", "op_args", "op_kwargs")
        given = {name: kwargs[name] for name in names if name in kwargs}
        super().__init__(kwargs_to_upstream=given, **kwargs)


def mlops_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a task of a function that runs as a job: ``@task.mlops``. Arguments as of :class:`FunctionRunOperator`."""
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=_FunctionDecoratedOperator, **kwargs
    )
