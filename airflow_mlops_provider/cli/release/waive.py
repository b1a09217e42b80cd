"""``airflow mlops waive``: a person takes it upon himself that a version goes on although a gate failed."""

from __future__ import annotations

import getpass
from argparse import Namespace

from airflow_mlops_provider.cli.lineage import parse_version
from airflow_mlops_provider.cli.release.one_job import run_on_version
from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.lifecycle.release.registry import registered


def run(args: Namespace) -> None:
    """Enter a waiver into the ledger, in the name of who calls.

    :raises UnknownNameError, TransitionError: if there is no such version or gate, or nothing of it to waive.
    """
    product, number = parse_version(args.version)
    params = {"gate": args.gate, "reason": args.reason, "until": f"{args.until}", "by": getpass.getuser()}
    manifest = run_on_version("waive", "waive", product, lambda entries: registered(entries, number), params)
    if manifest.failure or manifest.result is None:
        raise TransitionError(manifest.failure.message if manifest.failure else f"{args.version} was not waived")
    print(f"gate {args.gate} of {args.version} is waived by {params['by']} until {args.until}: {args.reason}")
    if manifest.result.facts["status"] == "rejected":
        print("It is still rejected: clear the task that promotes it, in its run of the training DAG")
