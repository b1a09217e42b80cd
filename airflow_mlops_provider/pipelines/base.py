"""What a pipeline is, and how its steps become tasks: the product's own, others in their place, or none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter, signature
from typing import Any

from airflow.sdk import BaseOperator, XComArg
from airflow.sdk.bases.decorator import is_decorated_task

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.product import MLProduct


@dataclass(frozen=True)
class Pipeline:
    """A pipeline of any product.

    :param doc: what it does, for its page in Airflow.
    :param settings: returns its DAG's own arguments for a product: schedule, params, how many runs at once.
    :param build: makes its steps, each in the task group of its stage, by calling the :class:`Steps` that it is given.
    """

    doc: str | None
    settings: Callable[[MLProduct], dict[str, Any]]
    build: Callable[[Steps], None]


@dataclass(frozen=True)
class Result:
    """What a step hands on; that of one which is left out is false, and so is an XCom that nobody pushes.

    :param reference: that of the last task, where one was inserted after the step.
    :param pushed_by: the task whose further XComs may be taken by key: one of the step's own operator class.
    """

    step: str
    reference: Any = None
    pushed_by: Any = None

    def __bool__(self) -> bool:
        return self.reference is not None

    @property
    def output(self) -> Any:
        """The reference, where a pipeline can't do without. :raises ConfigurationError: if the step is left out."""
        if self.reference is None:
            raise ConfigurationError(f"step {self.step!r} can't be left out, as all others follow from it: replace it")
        return self.reference

    def __getitem__(self, key: str) -> Result:
        return Result(self.step, XComArg(self.pushed_by, key) if self.pushed_by else None)


@dataclass(frozen=True)
class Hooks:
    """What is to be different from the pipeline as it is, by the names of its steps.

    :param replace: what makes a step's task instead: an operator class, a ``functools.partial`` of one, a ``@task``
        function, or a function that returns a task. It is called with those of the step's inputs that it names (an
        operator or function with ``task_id`` and ``product`` too), and what takes the step's result takes its result.
    :param insert: what makes a task behind a step: called with the step's result, whose place its own result takes.
    :param without: the steps to leave out.
    """

    replace: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    insert: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    without: Collection[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.without, str):
            raise ConfigurationError(f"without={self.without!r}: give a list of steps, such as [{self.without!r}]")
        if both := sorted({*self.without} & {*self.replace, *self.insert}):
            raise ConfigurationError(f"{', '.join(both)}: left out, and replaced or followed by something; choose one")
        for name, make in (*self.replace.items(), *self.insert.items()):
            if not callable(make):
                raise ConfigurationError(f"step {name!r}: give what makes a task when it is called, not {make!r:.100}")

    def check(self, steps: Collection[str]) -> None:
        """Refuse the name of a step that there is not. :raises UnknownNameError: naming those that there are."""
        for name in (*self.replace, *self.insert, *self.without):
            if name not in steps:
                raise UnknownNameError("step", name, steps)


class Steps:
    """Makes the tasks of a pipeline's steps; call it once for each, in order.

    :param params: parameters of a run that every task carries itself, as its DAG does not have them.
    """

    def __init__(self, product: MLProduct, hooks: Hooks, params: Mapping[str, Any]) -> None:
        self.product = product
        self.names: list[str] = []
        self._hooks = hooks
        self._common: dict[str, Any] = {"params": dict(params)} if params else {}

    def __call__(
        self,
        name: str,
        operator: type[BaseOperator],
        *,
        after: Result | None = None,
        over: Mapping[str, Result] | None = None,
        **inputs: Any,
    ) -> Result:
        """Make a step's task and return what it hands on.

        :param after: the step that must have ended before, though nothing of it is taken.
        :param over: the inputs over whose values the task is mapped.
        :param inputs: results of other steps, by role, and what else the operator takes.
        """
        self.names.append(name)
        if name in self._hooks.without:
            return Result(name)
        make = self._hooks.replace.get(name, operator)
        task, output = _task(f"what replaces step {name!r}", self._made(name, make, inputs, over or {}))
        for result in (after, *inputs.values(), *(over or {}).values()):
            if isinstance(result, Result) and result:
                task.set_upstream(result.reference)
        pushed_by = task if isinstance(task, operator) else None
        if name in self._hooks.insert:
            with _naming(f"what is inserted after step {name!r}, called with its result alone"):
                made = self._hooks.insert[name](output)
            _, output = _task(f"what is inserted after step {name!r}", made)
        return Result(name, output, pushed_by)

    def _made(self, name: str, make: Any, inputs: Mapping[str, Any], over: Mapping[str, Result]) -> Any:
        """Return what a step's factory makes of those of its inputs that it names, or of all if it takes any."""
        takes = signature(getattr(make, "function", make)).parameters
        known: dict[str, Any] = {**self._common, "task_id": name}
        if is_decorated_task(make):  # a @task function: its arguments are those of the function alone
            make, known = make.override(**known), {}
        else:
            known["product"] = self.product
        known |= _handed(name, takes, inputs)
        mapped = _handed(name, takes, over)
        offered = ", ".join(known) or "nothing"
        if all(parameter.kind is not Parameter.VAR_KEYWORD for parameter in takes.values()):
            known = {role: value for role, value in known.items() if role in takes}
        if isinstance(make, partial):
            make, known = make.func, {**known, **make.keywords}
        if over and not hasattr(make, "partial"):
            raise ConfigurationError(
                f"step {name!r} is mapped over {', '.join(over)}: replace it by an operator class or a @task function"
            )
        with _naming(f"what replaces step {name!r}, which offers {offered}", only=name in self._hooks.replace):
            return make.partial(**known).expand(**mapped) if over else make(**known)


def _handed(name: str, takes: Mapping[str, Parameter], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step's inputs, without those that would come from a step which is left out."""
    missing = {role: value for role, value in inputs.items() if isinstance(value, Result) and not value}
    for role, value in missing.items():
        if role in takes and takes[role].default is Parameter.empty:
            raise ConfigurationError(
                f"step {name!r} takes its {role} from step {value.step!r}, which is left out: leave out {name!r} "
                "too, or replace one of the two"
            )
    given = {role: value for role, value in inputs.items() if role not in missing}
    return {role: value.reference if isinstance(value, Result) else value for role, value in given.items()}


def _task(what: str, made: Any) -> tuple[Any, Any]:
    """Return a task and the reference to its result. :raises ConfigurationError: if it is no task."""
    output = made if isinstance(made, XComArg) else getattr(made, "output", None)
    if not isinstance(output, XComArg):
        raise ConfigurationError(f"{what} must be a task, not {made!r:.100}")
    return next(operator for operator, _ in output.iter_references()), output


@contextmanager
def _naming(what: str, *, only: bool = True) -> Iterator[None]:
    """Say of arguments that do not fit whose they are."""
    try:
        yield
    except TypeError as error:
        if not only:
            raise
        raise ConfigurationError(f"{what}: {error}") from error
