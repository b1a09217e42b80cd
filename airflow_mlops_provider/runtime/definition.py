"""What a job is: said once, in its own file, by a decorator on its function; nothing else lists jobs by name.

Ours is found by the file that is called so, another's by its import path or entry point.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any, Generic, get_args, get_type_hints

from pydantic import BaseModel, ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.extensions import JOBS, ExtensionPoint
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Dataset, Reference
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Trainer, named, named_code
from airflow_mlops_provider.runtime.arguments import with_trainer_override
from airflow_mlops_provider.runtime.context import InputsT, JobContext, JobResult, ParamsT, SettingsT

Work = Callable[[JobContext[InputsT, SettingsT, ParamsT]], JobResult]
#: The distributions whose versions decide what many jobs make.
TABLES = ("pandas", "pyarrow")
FEAST = ("feast", "duckdb", *TABLES)
OPTUNA = ("optuna", "numpy", *TABLES)
#: The services that every job may see.
OPEN = ("mlflow", "feast", "model_server")


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What a job says of itself, beside its function.

    :param result: the kind of reference that it hands on.
    :param makes: what it makes, in a reader's words.
    :param packages: distributions whose versions its result depends on.
    :param services: the guarded services that it may see: ``source`` (the product's repository), ``search`` (the
        database of searches), ``signing`` (the key that signs models), ``cluster`` (the way to where it is served).
    :param uses: those of the open services that it uses. It is told of no other, and nobody looks that up for it.
    :param publishes: it makes its result the interval's current dataset of that name.
    :param side_effects: it changes something outside its result folder, or reads what no input names (a delivery may be
        corrected), so that finished work is no reason to skip it.
    :param predicts: it applies models of any flavor.
    """

    stage: Stage
    makes: str
    result: type[Reference] = Dataset
    packages: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    uses: tuple[str, ...] = OPEN
    publishes: str | None = None
    side_effects: bool = False
    predicts: bool = False


@dataclass(frozen=True, kw_only=True)
class JobDefinition(JobOptions, Generic[InputsT, SettingsT, ParamsT]):
    """A job: its function, what that takes and gives, and what decides its result."""

    function: Work[InputsT, SettingsT, ParamsT]
    inputs: type[InputsT]
    settings: type[SettingsT]
    params: type[ParamsT]

    @property
    def name(self) -> str:
        """Its function's name, also that of the module in which it stands and of the folder of its results."""
        return self.function.__name__

    def parts_of(
        self, product: MLProduct | None, params: Mapping[str, Any], given: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return what a specification says of a product: settings, parameters, and what the trainers require.

        :param product: the declaration; None for an operator that was given all settings itself.
        :param params: what the run wants; two of them change the settings, see :func:`.with_trainer_override`.
        :param given: settings that take the place of the product's, by field.
        :raises ConfigurationError: naming a setting that is missing, or that the job does not take.
        """
        declared = with_trainer_override(product, params) if product else None
        base = self.settings.of(declared).to_json() if declared else {}
        settings = self._read(self.settings, {**base, **(given or {})}, "setting") if given or not declared else None
        requires = declared.requires if declared else ()
        if settings is None:
            return {"settings": base, "params": dict(params), "requires": requires}
        further = [name for trainer in _trainers(settings) for name in trainer.requires]
        return {
            "settings": settings.to_json(),
            "params": dict(params),
            "requires": tuple(dict.fromkeys((*requires, *further))),
        }

    def read(self, spec: JobSpec) -> tuple[InputsT, SettingsT, ParamsT]:
        """Return what a specification gives the job, typed. :raises ConfigurationError: naming what it doesn't take."""
        given = dict(spec.inputs)
        return (
            self._read(self.inputs, given, "input"),
            self._read(self.settings, spec.settings, "setting"),
            self._read(self.params, spec.params, "parameter"),
        )

    def trainers(self, spec: JobSpec) -> list[Trainer]:
        """Return the trainers that the job may use."""
        return list(_trainers(self._read(self.settings, spec.settings, "setting")))

    def parts(self, spec: JobSpec) -> list[tuple[ExtensionPoint, str]]:
        """Return the parts that the job's settings name: problem, flavors, validator and their like."""
        settings = self._read(self.settings, spec.settings, "setting")
        return list(dict.fromkeys((point, name) for _, name, point in named(settings, ExtensionPoint)))

    def requires(self, spec: JobSpec) -> tuple[str, ...]:
        """Return the distributions that its settings themselves require."""
        return tuple(getattr(self._read(self.settings, spec.settings, "setting"), "requires", ()))

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
            lines = (f"{what} {'.'.join(map(str, line['loc']))!r}: {line['msg']}" for line in error.errors())
            takes = ", ".join(kind.model_fields) or "none"
            raise ConfigurationError(f"job {self.name!r}: {'; '.join(lines)}; it takes the {what}s {takes}") from None


class job(JobOptions):  # noqa: N801  # a decorator
    """Makes a job of a function ``name(context: JobContext[Inputs, Settings, Params]) -> JobResult``."""

    def __call__(self, function: Work[InputsT, SettingsT, ParamsT]) -> JobDefinition[InputsT, SettingsT, ParamsT]:
        (name, *_) = signature(function).parameters
        inputs, settings, params = get_args(get_type_hints(function)[name])
        return JobDefinition(function=function, inputs=inputs, settings=settings, params=params, **vars(self))


AnyJob = JobDefinition[Any, Any, Any]


def find_job(name: str) -> AnyJob:
    """Return a job: ``clean``, another's ``package.module:function``, or what an entry point of another's is called.

    :raises UnknownNameError: naming those known.
    :raises PartError: if what has that name is no job, or can't be loaded.
    """
    if ":" not in name and name not in JOBS.known():
        others = [other for other in JOBS.known() if other not in JOBS.builtin]
        raise UnknownNameError("job", name, [*all_jobs(), *others])
    known: AnyJob = JOBS.find(name)
    return known


@cache
def all_jobs() -> dict[str, AnyJob]:
    """Return our own jobs, by name, stage by stage."""
    parts = (path.split(":") for path in JOBS.builtin.values())
    candidates = (getattr(importlib.import_module(module), name, None) for module, name in parts)
    jobs = [candidate for candidate in candidates if isinstance(candidate, JobDefinition)]
    return {known.name: known for known in sorted(jobs, key=lambda known: [*Stage].index(known.stage))}


def _trainers(value: Any) -> Iterator[Trainer]:
    if isinstance(value, Trainer):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _trainers(getattr(value, name))
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _trainers(inner)
