"""Which trainer a job is to use: the declared one, or the one that its parameters name."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct, Trainer
from airflow_mlops_provider.lifecycle.records.spec import JobSpec


def with_trainer_override(product: MLProduct, spec: JobSpec) -> MLProduct:
    """Return the product as a job is to see it, its trainer as the job's parameters want it.

    ``params["trainer"]`` is a whole trainer (code, flavor, settings, seed, requires) in place of the declared one;
    ``params["settings"]`` changes some of its settings.

    :raises ConfigurationError: if what is asked for is no trainer.
    """
    changes = {name: spec.params[name] for name in ("trainer", "settings") if name in spec.params}
    if not changes:
        return product
    settings = changes.get("settings", {})
    if not isinstance(settings, Mapping):
        raise ConfigurationError(f"the parameter 'settings' is {settings!r:.200}; give a dict of name to value")
    try:
        trainer = Trainer.model_validate(changes.get("trainer", product.trainer))
        fields = {name: getattr(trainer, name) for name in Trainer.model_fields}
        trainer = Trainer.model_validate({**fields, "settings": {**trainer.settings, **settings}})
    except ValidationError as error:
        name = " or ".join(repr(name) for name in changes)
        raise ConfigurationError(f"the parameter {name} describes no trainer: {error}") from None
    return product.model_copy(update={"trainer": trainer})
