"""Rolls the model server to a production-ready version, and back if it does not take it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from airflow_mlops_provider.backends.ledger import Ledger
from airflow_mlops_provider.backends.mlflow import MlflowBackend
from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.jobs.address import code_hashes
from airflow_mlops_provider.jobs.catalogue import find_job
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.registry import Status, check_move, status_of
from airflow_mlops_provider.serving import launcher, releases

READY_SECONDS = 120


def run(work: Work) -> Outcome:
    """Ask the server for the version, wait until it answers with it, then enter ``live`` and ``retired``.

    :raises DeploymentError: if the server did not take it; the version that served before still serves.
    """
    version: ModelVersion = work.input("version")
    ledger = Ledger(work.store, version.name)
    entries = ledger.entries()
    if status_of(entries, version.version) is not Status.LIVE:
        check_move(entries, version.version, Status.LIVE)
    url = roll(work, version)
    entry = ledger.move(version, Status.LIVE, reason=f"{url} answers with it", by=work.by, evidence={"url": url})
    retire_others(work, ledger, version)
    mlflow = MlflowBackend(work.spec.services.mlflow)
    mlflow.set_alias(version.name, "champion", version.version)
    mlflow.set_alias(version.name, "challenger", None)
    work.log.info("version %d is live at %s", version.version, url)
    return Outcome(
        kind=ModelVersion,
        facts={**version.facts, "status": entry.status.value, "url": url},
        fields={"name": version.name, "version": version.version},
        of=version,
    )


def roll(work: Work, version: ModelVersion) -> str:
    """Point the server at a version, wait for it, and return the server's address; take it back if it fails."""
    wanted = releases.Release(
        product=version.name,
        model_uri=version.uri,
        model_hash=version.hash,
        version=version.version,
        requested_at=datetime.now(UTC),
    )
    before = releases.read_live(work.store, version.name)
    releases.request(work.store, wanted)
    try:
        url = work.spec.services.model_server or start(work)
        launcher.wait_for(url, version.version, READY_SECONDS, requested_at=wanted.requested_at)
    except DeploymentError:
        if before is not None:
            releases.request(work.store, before)
        raise
    releases.confirm(work.store, wanted)
    return url


def start(work: Work) -> str:
    """Make sure that the product's local model server runs, and return its address."""
    serving, folder = work.product.serving, work.local("serving")
    port = int(work.spec.params.get("port") or serving.port)
    options = ("--online-store", json.dumps(work.spec.services.online_store))
    return launcher.ensure_running(
        work.product.name,
        work.spec.root,
        serving.host,
        port,
        folder / "server.log",
        options=options,
        code=serving_code(work.product),
    )


def serving_code(product: MLProduct) -> str:
    """Return the fingerprint of the code that makes model inputs: the server has to run the same."""
    return digest(code_hashes(find_job("predict"), product))


def retire_others(work: Work, ledger: Ledger, version: ModelVersion) -> None:
    """Retire whatever else the ledger still calls live."""
    newest = {entry.version.version: entry for entry in ledger.entries()}
    for number, entry in newest.items():
        if entry.status is Status.LIVE and number != version.version:
            ledger.move(entry.version, Status.RETIRED, reason=f"version {version.version} took over", by=work.by)
