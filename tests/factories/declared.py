"""Products declared otherwise, and specifications made of them as an operator makes them."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.records import declare


def changed(product: MLProduct, changes: dict[str, Any]) -> MLProduct:
    """Return a product with some values declared otherwise, validated anew.

    :param changes: values, plain or ours, by where they stand: ``{"training.trainer.seed": 7}``.
    """
    fields = product.model_dump()
    for path, value in changes.items():
        *around, name = path.split(".")
        part = fields
        for section in around:
            part = part[section]
        part[name] = value.model_dump() if hasattr(value, "model_dump") else value
    return MLProduct.model_validate(fields)


def specify(job: str, product: MLProduct, params: dict[str, Any] | None = None, **fields: Any) -> JobSpec:
    """Return the specification of a product's job; the declaration is kept beside its results."""
    declare(open_store(fields["root"]), product)
    return JobSpec(job=job, product=product.name, **find_job(job).parts_of(product, params or {}), **fields)
