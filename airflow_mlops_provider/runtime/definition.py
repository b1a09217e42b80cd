"""What a job is: said once, in its own file, by a decorator on its function; nothing else lists jobs by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any, Generic, get_args, get_type_hints

from pydantic import BaseModel, ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.code import named_code
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Dataset, Reference
from airflow_mlops_provider.lifecycle.sections import Shape
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.runtime.context import InputsT, JobContext, JobResult, ParamsT, SettingsT


@dataclass(frozen=True)
class JobDefinition(Generic[InputsT, SettingsT, ParamsT]):
    """A job: its function, what that takes and gives, and what decides its result.

    :param name: names the folder of its results, too.
    :param function: the work itself.
    :param result: the kind of reference that it hands on.
    :param makes: what it makes, in a reader's words.
    :param packages: distributions whose versions its result depends on.
    :param services: the guarded services that it may see: ``source`` (the product's repository), ``search`` (the
        database of searches).
    :param publishes: it makes its result the interval's current dataset of that name.
    :param side_effects: it changes something outside its result folder, or reads what no input names (a delivery may be
        corrected), so that finished work is no reason to skip it.
    :param predicts: it applies models of any flavor.
    """

    name: str
    stage: Stage
    function: Callable[[JobContext[InputsT, SettingsT, ParamsT]], JobResult]
    inputs: type[InputsT]
    settings: type[SettingsT]
    params: type[ParamsT]
    result: type[Reference]
    makes: str
    packages: tuple[str, ...] = ()
    services: frozenset[str] = frozenset()
    publishes: str | None = None
    side_effects: bool = False
    predicts: bool = False

    @property
    def module(self) -> str:
        """Where its code is."""
        return self.function.__module__

    def settings_of(self, product: MLProduct) -> dict[str, Any]:
        """Return a product's settings for the job, as a specification carries them."""
        return self.settings.of(product).to_json()

    def read(self, spec: JobSpec) -> tuple[InputsT, SettingsT, ParamsT]:
        """Return what a specification gives the job, typed.

        :raises ConfigurationError: naming what is missing, or is not what the job takes.
        """
        given = dict(spec.inputs)
        return (
            self._read(self.inputs, given, "input"),
            self._read(self.settings, spec.settings, "setting"),
            self._read(self.params, spec.params, "parameter"),
        )

    def trainers(self, spec: JobSpec) -> list[Trainer]:
        """Return the trainers that the job may use."""
        return list(_trainers(self._read(self.settings, spec.settings, "setting")))

    def problem(self, spec: JobSpec) -> str | None:
        """Return the kind of problem that the job works on; None if it makes no difference to it."""
        settings: Any = self._read(self.settings, spec.settings, "setting")
        shape = getattr(settings, "shape", None) or getattr(settings, "scoring", None)
        return shape.problem if isinstance(shape, Shape) else None

    def code(self, spec: JobSpec) -> dict[str, str]:
        """Return the users' functions that the job calls, by the field that names them; a field's others numbered."""
        functions: dict[str, str] = {}
        for field, function in named_code(self._read(self.settings, spec.settings, "setting")):
            functions[f"{field} {len(functions)}" if field in functions else field] = function
        return functions

    def _read(self, kind: type[Any], given: dict[str, Any], what: str) -> Any:
        try:
            return kind.model_validate(given)
        except ValidationError as error:
            lines = (f"{what} {'.'.join(map(str, one['loc']))!r}: {one['msg']}" for one in error.errors())
            takes = ", ".join(kind.model_fields) or "none"
            raise ConfigurationError(f"job {self.name!r}: {'; '.join(lines)}; it takes the {what}s {takes}") from None


def job(
    *,
    stage: Stage,
    makes: str,
    result: type[Reference] = Dataset,
    packages: tuple[str, ...] = (),
    services: tuple[str, ...] = (),
    publishes: str | None = None,
    side_effects: bool = False,
    predicts: bool = False,
) -> Callable[
    [Callable[[JobContext[InputsT, SettingsT, ParamsT]], JobResult]], JobDefinition[InputsT, SettingsT, ParamsT]
]:
    """Make a job of a function ``name(context: JobContext[Inputs, Settings, Params]) -> JobResult``.

    The job's name is the function's; it stands in a module of that name. See :class:`JobDefinition`.
    """

    def define(
        function: Callable[[JobContext[InputsT, SettingsT, ParamsT]], JobResult],
    ) -> JobDefinition[InputsT, SettingsT, ParamsT]:
        inputs, settings, params = _takes(function)
        return JobDefinition(
            name=function.__name__,
            stage=stage,
            function=function,
            inputs=inputs,
            settings=settings,
            params=params,
            result=result,
            makes=makes,
            packages=packages,
            services=frozenset(services),
            publishes=publishes,
            side_effects=side_effects,
            predicts=predicts,
        )

    return define


def _takes(function: Callable[..., JobResult]) -> tuple[type[Any], type[Any], type[Any]]:
    """Return the classes of inputs, settings and parameters that a job's function names in its one annotation."""
    (name, *_) = signature(function).parameters
    inputs, settings, params = get_args(get_type_hints(function)[name])
    return inputs, settings, params


def _trainers(value: Any) -> Iterator[Trainer]:
    if isinstance(value, Trainer):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _trainers(getattr(value, name))
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _trainers(inner)
