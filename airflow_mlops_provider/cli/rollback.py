"""``airflow mlops rollback``: a version that was live before answers again."""

from __future__ import annotations

import getpass
import logging
import time
from argparse import Namespace

from airflow_mlops_provider import discovery
from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import registered, served_before
from airflow_mlops_provider.operators.deployment import here, port
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.ledger import Ledger


def run(args: Namespace) -> None:
    """Deploy a retired version, as the deployment DAG does, in the name of who calls.

    :raises DeploymentError: if the server did not take it; what served before still serves.
    :raises TransitionError, UnknownNameError: if there is no such version, or nothing to go back to.
    """
    began = time.monotonic()
    addresses, root, secrets = services(args.product)
    store = open_store(root, secrets)
    product = discovery.known_product(store, args.product)
    entries = Ledger(store, product.name).entries()
    version = here(store, registered(entries, args.to) if args.to else served_before(entries))
    params = {**port(), "explicit": True, "rollback": True, "reason": args.reason}
    spec = JobSpec(
        job="deploy",
        product=product.name,
        root=root,
        services=addresses,
        inputs={"version": version},
        run=RunIdentity(dag_id="airflow mlops rollback", run_id=getpass.getuser(), task_id=f"{time.time_ns()}"),
        **find_job("deploy").parts_of(product, params),
    )
    manifest = LocalProcess().run(spec, secrets, logging.getLogger(__name__))
    result = manifest.result
    if not isinstance(result, ModelVersion):
        raise DeploymentError(f"version {version.version} did not come back: {manifest.failure}")
    print(f"version {result.version} answers at {result.facts['url']}, after {time.monotonic() - began:.1f} s")
