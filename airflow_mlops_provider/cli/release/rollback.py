"""``airflow mlops rollback``: a version that was live before answers again."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence

from airflow_mlops_provider.cli.release.one_job import run_on_version
from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, registered, served_before
from airflow_mlops_provider.operators.deployment import port


def run(args: Namespace) -> None:
    """Deploy a retired version, as the deployment DAG does, in the name of who calls.

    :raises DeploymentError: if the server did not take it; what served before still serves.
    :raises TransitionError, UnknownNameError: if there is no such version, or nothing to go back to.
    """
    began = time.monotonic()

    def choose(entries: Sequence[LedgerEntry]) -> ModelVersion:
        return registered(entries, args.to) if args.to else served_before(entries)

    params = {**port(), "explicit": True, "rollback": True, "reason": args.reason}
    manifest = run_on_version("rollback", "deploy", args.product, choose, params)
    result = manifest.result
    if not isinstance(result, ModelVersion):
        raise DeploymentError(f"the version did not come back: {manifest.failure}")
    print(f"version {result.version} answers at {result.facts['url']}, after {time.monotonic() - began:.1f} s")
