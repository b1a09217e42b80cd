"""Which trainer a job is to use: the declared one, or the one that its parameters name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct, Trainer
from airflow_mlops_provider.lifecycle.spec import JobSpec

if TYPE_CHECKING:
    from airflow_mlops_provider.jobs.work import Work


def as_asked(product: MLProduct, spec: JobSpec) -> MLProduct:
    """Return the product as a job is to see it, its trainer as the job's parameters want it.

    ``params["trainer"]`` is a whole trainer (code, flavor, settings, seed, requires) in place of the declared one;
    ``params["settings"]`` changes some of its settings.

    :raises ConfigurationError: if what is asked for is no trainer.
    """
    changes = {name: spec.params[name] for name in ("trainer", "settings") if name in spec.params}
    if not changes:
        return product
    try:
        trainer = Trainer.model_validate(changes.get("trainer", product.trainer))
    except ValidationError as error:
        raise ConfigurationError(f"the parameter 'trainer' describes no trainer: {error}") from None
    settings = {**trainer.settings, **changes.get("settings", {})}
    return product.model_copy(update={"trainer": trainer.model_copy(update={"settings": settings})})


def trainer_of(work: Work) -> Trainer:
    """Return the trainer that a job is to use, with all its settings."""
    return work.product.trainer
