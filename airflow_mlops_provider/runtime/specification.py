"""A job's specification, made of a product's declaration and what a run asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.runtime.registry import find_job


def parts_of(job: str, product: MLProduct, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a specification says of the product: settings, parameters, and what the trainers require.

    :param params: what the run asks for; ``trainer`` and ``settings`` change the settings, see
        :func:`with_trainer_override`.
    """
    declared = with_trainer_override(product, params)
    return {"settings": find_job(job).settings_of(declared), "params": dict(params), "requires": declared.requires}


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
