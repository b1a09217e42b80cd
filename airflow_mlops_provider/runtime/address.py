"""Same inputs, same address: where a job's output goes follows from what goes in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

from airflow_mlops_provider import __version__
from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.runtime import code
from airflow_mlops_provider.runtime.registry import Job, find_job
from airflow_mlops_provider.runtime.trainer_override import with_trainer_override


def address(spec: JobSpec, product: MLProduct) -> str:
    """Return the hex digest of all that decides a job's result: inputs, parameters, declaration, code, packages."""
    job, product = find_job(spec.job), with_trainer_override(product, spec)
    return digest(
        {
            **spec.identity(),
            "provider": __version__,
            "declaration": declaration(job, product),
            "code": code_hashes(job, product),
            "packages": environment.versions(packages(job, product)),
        }
    )


def address_beside(spec: JobSpec, before: Manifest, product: MLProduct) -> str | None:
    """Return the address of a job where another one of its kind ran before; None if that one doesn't tell.

    What an image holds never changes, so its code, declaration and packages are those that the earlier manifest names.
    """
    names = sorted(set(packages(find_job(spec.job), with_trainer_override(product, spec))))
    there = {
        "provider": before.packages.get("airflow-mlops-provider"),
        "declaration": before.declaration,
        "code": before.code_hashes,
        "packages": {name: before.packages.get(name.lower().replace("_", "-"), "absent") for name in names},
    }
    if digest({**before.spec.identity(), **there}) != before.address or before.spec.params != spec.params:
        return None
    return digest({**spec.identity(), **there})


def declaration(job: Job, product: MLProduct) -> dict[str, Any]:
    """Return the parts of the product's declaration that a job reads."""
    declared = product.model_dump(mode="json")
    return {field: reduce(lambda part, name: part and part[name], field.split("."), declared) for field in job.reads}


def code_hashes(job: Job, product: MLProduct) -> dict[str, str]:
    """Return the hash of each source file that decides a job's result: the job's own, the user's, and its imports."""
    users = {name.partition(":")[0] for value in declaration(job, product).values() for name in _codes(value)}
    modules = {job.module}.union(*(code.closure(module, product.name) for module in users))
    return {module: code.source_hash(module) for module in sorted(modules)}


def packages(job: Job, product: MLProduct) -> tuple[str, ...]:
    """Return the distributions that a job depends on, those of each trainer that it may use and its flavor included."""
    trainers = [product.trainer] if "trainer" in job.reads else []
    if product.search and "search.algorithms" in job.reads:
        trainers += product.search.algorithms
    needed = [name for one in trainers for name in (*one.requires, *models.flavor_of(one.flavor).to_train)]
    return (*job.packages, *needed)


def _codes(value: Any) -> Iterator[str]:
    """Yield what names code in a declared value: the value itself, or what stands under ``code``."""
    if isinstance(value, str) and ":" in value:
        yield value
    elif isinstance(value, dict):
        yield from _codes(value.get("code"))
    elif isinstance(value, list):
        for one in value:
            yield from _codes(one) if isinstance(one, dict) else ()
