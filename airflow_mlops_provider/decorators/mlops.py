"""``@task.mlops``: a plain function as a job of its own; or as the part of an operator's job that a user writes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial, wraps
from typing import Any, ClassVar, cast

from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

from airflow_mlops_provider.operators.functions import FunctionRunOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator


class _FunctionDecoratedOperator(DecoratedOperator, FunctionRunOperator):
    custom_operator_name = "@task.mlops"
    template_fields = FunctionRunOperator.template_fields

    def __init__(self, *, multiple_outputs: bool = False, **kwargs: Any) -> None:  # noqa: ARG002  # it is one reference
        names = ("python_callable", "op_args", "op_kwargs")
        given = {name: kwargs[name] for name in names if name in kwargs}
        super().__init__(kwargs_to_upstream=given, **kwargs)


class _PartDecoratedOperator(DecoratedOperator):
    """Of an operator that takes a function: it is called with that operator's input instead of its own arguments.

    :cvar input, function: the operator's parameters for both.
    """

    custom_operator_name: str
    input: ClassVar[str]
    function: ClassVar[str]

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] = (),
        op_kwargs: Mapping[str, Any] | None = None,
        multiple_outputs: bool = False,  # noqa: ARG002  # it is one reference
        **kwargs: Any,
    ) -> None:
        given = inspect.signature(python_callable).bind_partial(*op_args, **(op_kwargs or {})).arguments
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            kwargs_to_upstream={**given, self.function: vars(python_callable)["__wrapped__"]},
            **kwargs,
        )


class _TrainDecoratedOperator(_PartDecoratedOperator, ModelTrainOperator):
    custom_operator_name = "@task.mlops_train"
    template_fields = ModelTrainOperator.template_fields
    template_fields_renderers = ModelTrainOperator.template_fields_renderers
    input, function = "training_set", "trainer"


class _ValidateDecoratedOperator(_PartDecoratedOperator, GreatExpectationsValidateDatasetOperator):
    custom_operator_name = "@task.mlops_validate"
    template_fields = GreatExpectationsValidateDatasetOperator.template_fields
    template_fields_renderers = GreatExpectationsValidateDatasetOperator.template_fields_renderers
    input, function = "dataset", "expectations"


def mlops_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a task of a function that runs as a job: ``@task.mlops``. Arguments as of :class:`FunctionRunOperator`."""
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=_FunctionDecoratedOperator, **kwargs
    )


def mlops_train_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a training of a function, ``@task.mlops_train``, to be called with the training set.

    Arguments as of :class:`.ModelTrainOperator`, whose ``trainer`` the function is.
    """
    return _part(_TrainDecoratedOperator, python_callable, **kwargs)


def mlops_validate_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a validation of a function that returns expectations, ``@task.mlops_validate``, called with the dataset.

    Arguments as of :class:`.GreatExpectationsValidateDatasetOperator`, whose ``expectations`` the function is.
    """
    return _part(_ValidateDecoratedOperator, python_callable, **kwargs)


def _part(operator: type[_PartDecoratedOperator], function: Any = None, **kwargs: Any) -> TaskDecorator:
    if function is None:
        return cast("TaskDecorator", partial(_part, operator, **kwargs))
    if not inspect.isfunction(function):
        raise TypeError(f"{operator.custom_operator_name} takes named arguments only, not {function!r:.100}")

    # Airflow looks at what a task's function may be called with, and mapped over: here with the operator's input.
    @wraps(function)
    def called(*_: Any) -> None:
        """Stand before the function, which runs elsewhere."""

    parameter = inspect.Parameter(operator.input, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    vars(called)["__signature__"] = inspect.Signature([parameter])
    return task_decorator_factory(called, multiple_outputs=False, decorated_operator_class=operator, **kwargs)
