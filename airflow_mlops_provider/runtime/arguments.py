"""What a job takes: its inputs, settings and parameters, each a small typed value."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, Self, Union, get_args, get_origin

from pydantic import ValidationError, model_validator

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import Reference
from airflow_mlops_provider.lifecycle.trainer import Trainer


class JobInputs(Frozen):
    """The references that a job is given, by role; a role that takes several is a tuple."""

    @model_validator(mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        """One reference may stand where several may."""
        if not isinstance(given, dict):
            return given
        several = {name for name, field in cls.model_fields.items() if get_origin(field.annotation) is tuple}
        return {
            role: (value,) if role in several and not isinstance(value, tuple | list) else value
            for role, value in given.items()
        }

    @classmethod
    def takes(cls, role: str) -> tuple[type[Reference], ...]:
        """Return the kinds of reference that a role takes; none if there is no such role."""
        field = cls.model_fields.get(role)
        return tuple(_kinds(field.annotation)) if field else ()


@dataclass(frozen=True)
class ProductField:
    """Marks a field of a job's settings with where it stands in the product's declaration, such as ``data.sources``."""

    path: str


class JobSettings(Frozen):
    """What a job takes of a product's declaration, by value: each field names its place by :class:`ProductField`.

    :cvar declared: whether it does; other settings are made by the job's operator.
    """

    declared: ClassVar[bool] = True

    @classmethod
    def of(cls, product: MLProduct) -> Self:
        """Return a product's settings for the job. :raises ConfigurationError: naming the sections that it lacks."""
        product = product.unplaced()
        places = {
            name: next((mark.path for mark in field.metadata if isinstance(mark, ProductField)), name)
            for name, field in cls.model_fields.items()
        }
        taken = {name: reduce(_part, place.split("."), product) for name, place in places.items()}
        try:
            return cls.model_validate(taken, from_attributes=True)
        except ValidationError as error:
            missing = [places[str(line["loc"][0])] for line in error.errors() if line["input"] is None]
            if not missing:
                raise
            raise ConfigurationError(f"product {product.name!r} declares no {', '.join(missing)}") from None


class JobParams(Frozen):
    """What a run asks of a job; by itself, a job without parameters of its own."""


class TrainerParams(JobParams):
    """:param trainer, settings: what takes the place of the declared trainer, or of some of its settings."""

    trainer: dict[str, Any] | None = None
    settings: dict[str, Any] = {}


def with_trainer_override(product: MLProduct, params: Mapping[str, Any]) -> MLProduct:
    """Return the product as a job is to see it, its trainer as the parameters of a run want it.

    ``params["trainer"]`` is a whole trainer (code, flavor, settings, seed, requires) in place of the declared one;
    ``params["settings"]`` changes some of its settings.

    :raises ConfigurationError: if what is given is no trainer.
    """
    changes = {name: params[name] for name in ("trainer", "settings") if name in params}
    if not changes:
        return product
    settings = changes.get("settings", {})
    if not isinstance(settings, Mapping):
        raise ConfigurationError(f"the parameter 'settings' is {settings!r:.200}; give a dict of name to value")
    try:
        trainer = Trainer.model_validate(changes.get("trainer", product.training.trainer))
        fields = {name: getattr(trainer, name) for name in Trainer.model_fields}
        trainer = Trainer.model_validate({**fields, "settings": {**trainer.settings, **settings}})
    except ValidationError as error:
        name = " or ".join(repr(name) for name in changes)
        raise ConfigurationError(f"the parameter {name} describes no trainer: {error}") from None
    return product.model_copy(update={"training": product.training.model_copy(update={"trainer": trainer})})


def _part(whole: Any, name: str) -> Any:
    return None if whole is None else getattr(whole, name)


def _kinds(annotation: Any) -> Iterator[type[Reference]]:
    if isinstance(annotation, type) and issubclass(annotation, Reference):
        yield annotation
    elif get_origin(annotation) in (tuple, Union, types.UnionType):
        for inner in get_args(annotation):
            yield from _kinds(inner)
