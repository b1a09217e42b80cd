"""How a command has a job do something to a version, as a DAG would, in the name of who calls."""

from __future__ import annotations

import getpass
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from airflow_mlops_provider import discovery
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry
from airflow_mlops_provider.operators.deployment import here
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.ledger import Ledger


def run_on_version(
    command: str, job: str, name: str, choose: Callable[[Sequence[LedgerEntry]], ModelVersion], params: dict[str, Any]
) -> Manifest:
    """Run a job on a version of a product, here and now, and return its manifest.

    :param choose: which version, of what the ledger says.
    """
    addresses, root, secrets = services(name, find_job(job).services)
    store = open_store(root, secrets)
    product = discovery.known_product(store, name)
    version = here(store, choose(Ledger(store, product.name).entries()))
    spec = JobSpec(
        job=job,
        product=product.name,
        root=root,
        services=addresses,
        inputs={"version": version},
        run=RunIdentity(dag_id=f"airflow mlops {command}", run_id=getpass.getuser(), task_id=f"{time.time_ns()}"),
        **find_job(job).parts_of(product, params),
    )
    return LocalProcess().run(spec, secrets, logging.getLogger(__name__))
