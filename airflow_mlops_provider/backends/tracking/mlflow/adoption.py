"""Another MLflow server becomes a product's registry: the ledger's versions under their numbers, and its head."""

from __future__ import annotations

import tempfile
from pathlib import Path

from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror
from airflow_mlops_provider.exceptions import IntegrityError, OtherRegistryError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status, live_version
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.storage.artifacts import ArtifactStore, content_hash
from airflow_mlops_provider.storage.layout import key_below
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records


def adopt(store: ArtifactStore, mirror: Mirror) -> list[str]:
    """Have a registry show what a product's ledger says, and return what was done for it, a line for each.

    A person's decision: from then on MLflow vouches for the ledger as it is now. Begun and killed, it is run again.

    :raises IntegrityError: if MLflow keeps a head of another ledger, or a kept model is not what was registered.
    :raises OtherRegistryError: if the registered model of that name has versions that are not the ledger's.
    """
    ledger = Ledger(store, mirror.product)
    entries, _ = ledger.since(mirror.read().head)
    known, done = mirror.versions(mirror.product), list[str]()
    versions = sorted(_registered(entries), key=lambda version: version.version)
    ours = {version.version: version.hash for version in versions}
    for number, content in sorted(known.items()):
        if content not in ("", ours.get(number, content)):
            raise OtherRegistryError(
                f"version {number} of {mirror.product} at {mirror.shown} is another model than the ledger's; rename "
                "the registered model there, or give another server"
            )
    for version in versions:
        if version.version not in known:
            done.append(_take_over(store, mirror, version))
    live = live_version(entries)
    if live:
        mirror.announce(live.version)
    return [*done, *mirror.follow(ledger)]


def _registered(entries: list[LedgerEntry]) -> list[ModelVersion]:
    return [entry.version for entry in entries if entry.status is Status.REGISTERED]


def _take_over(store: ArtifactStore, mirror: Mirror, version: ModelVersion) -> str:
    """Log a version's training as its record has it, register its model under its number, and say so."""
    name, record = f"version {version.version} of {mirror.product}", Records(store).manifest_of(version)
    run_id = _log(store, mirror, version, record)
    model = Model(uri=version.uri, hash=version.hash)
    lower = range(version.version)  # numbers that the ledger does not know were given away, and are again
    number = mirror.register(name=mirror.product, model=model, run_id=run_id, tags={}, taken=lower)
    if number == version.version:
        return f"{name} is there, with MLflow run {run_id}"
    mirror.remove(number)
    return f"{name} can't be there: MLflow gives its number to nobody any more"


def _log(store: ArtifactStore, mirror: Mirror, version: ModelVersion, record: Manifest) -> str:
    trainer = Trainer.model_validate(record.spec.settings["trainer"])
    training_set = record.spec.inputs["training_set"]
    assert isinstance(training_set, Dataset)
    with tempfile.TemporaryDirectory(prefix="mlops-adopt-") as scratch:
        folder = store.download(key_below(store, version.uri), Path(scratch))
        if content_hash(folder) != version.hash:
            raise IntegrityError(f"{version.uri} is not what version {version.version} was registered with")
        return mirror.log_training(
            product=mirror.product,
            address=record.address,
            params={**trainer.settings, "seed": trainer.seed},
            metrics=record.metrics,
            dataset=training_set,
            tags=record.spec.run.model_dump(include={"dag_id", "run_id", "task_id"}),
            model_folder=folder,
            flavor=trainer.flavor,
        )
