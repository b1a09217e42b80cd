"""Whether a product's ledger is to be trusted: compared with the head that MLflow keeps, and with its evidence."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror
from airflow_mlops_provider.exceptions import IntegrityError, MissingRecordError
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.registry import (
    MOVES,
    LedgerEntry,
    Status,
    check_same,
    live_version,
    registered,
)
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore, content_hash
from airflow_mlops_provider.storage.layout import key_below
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records

Store = FolderStore | BucketStore


def entries(store: Store, ledger: Ledger, mirror: Mirror) -> list[LedgerEntry]:
    """Return a ledger's entries once they are those that MLflow's head knows, or follow from them with evidence.

    Entries after that head, whose writer was killed before MLflow was updated, are trusted if their evidence is there.
    Those of releases that kept no head are trusted as they are.

    :raises IntegrityError: naming the entry that is changed, missing, or without evidence.
    """
    mirrored = mirror.read()
    known, further = ledger.since(mirrored.head)
    for entry in further:
        if entry.previous is None:
            continue
        flaw = _unfounded(store, known[: entry.sequence + 1], entry, mirrored.deploying)
        if flaw:
            raise IntegrityError(
                f"{ledger.file(entry.sequence)} ({entry.version.name}@{entry.version.version} {entry.status.value}) is "
                f"not known to MLflow, and {flaw}; nothing of this product goes live until a person has looked"
            )
    return known


def registered_as(store: Store, known: Sequence[LedgerEntry], claimed: ModelVersion) -> ModelVersion:
    """Return the registered version. The claimed URI of its model may be that of before the root was moved.

    :raises UnknownNameError, TransitionError: if there is none of that number, or it is another model.
    """
    version = registered(known, claimed.version)
    same_place = key_below(store, version.uri) == key_below(store, claimed.uri)
    return check_same(version, claimed.model_copy(update={"uri": version.uri}) if same_place else claimed)


def check_gates(store: Store, known: Sequence[LedgerEntry], version: ModelVersion) -> None:
    """Make sure that the report by which a version became production-ready is there as it was.

    :raises IntegrityError: if it isn't, or there is no such entry.
    """
    passed = [entry for entry in known if entry.status is Status.PRODUCTION_READY and "report" in entry.evidence]
    own = [entry for entry in passed if entry.version.version == version.version]
    flaw = _report_flaw(store, own[-1]) if own else "no entry in the ledger tells of its gates"
    if flaw:
        raise IntegrityError(f"{version.name}@{version.version} may not go live: {flaw}")


def _unfounded(store: Store, upto: Sequence[LedgerEntry], entry: LedgerEntry, deploying: int | None) -> str | None:
    """Say why an entry can't be trusted by itself; None if it can."""
    number = entry.version.version
    if entry.status is Status.REGISTERED:
        return _record_flaw(store, entry.version)
    if entry.status is Status.LIVE or "rollback" in entry.evidence:
        return None if deploying == number else f"no deployment of version {number} was begun"
    if entry.status in (Status.STAGING, Status.PRODUCTION_READY, Status.REJECTED):
        return _report_flaw(store, entry)
    if entry.status not in MOVES:
        return "this release does not know such a status"
    return None if live_version(upto) else "no other version is live in its place"


def _record_flaw(store: Store, version: ModelVersion) -> str | None:
    try:
        Records(store).manifest_of(version)
    except MissingRecordError as error:
        return str(error)
    return None


def _report_flaw(store: Store, entry: LedgerEntry) -> str | None:
    """Say why an entry's report can't be trusted: gone, changed, or of something else."""
    uri, recorded = entry.evidence.get("report"), entry.evidence.get("hash")
    if not isinstance(uri, str):
        return "it names no report"
    with tempfile.TemporaryDirectory(prefix="mlops-evidence-") as scratch:
        try:
            folder = store.download(key_below(store, uri), Path(scratch))
        except FileNotFoundError:
            return f"its report {uri} is gone"
        if recorded is None:  # an entry of a release that didn't keep it
            return None
        if content_hash(folder) != recorded:
            return f"its report {uri} is not what it was"
    return _other_report(store, entry, str(uri), str(recorded))


def _other_report(store: Store, entry: LedgerEntry, uri: str, recorded: str) -> str | None:
    """Say that a report is neither of an entry's model nor of the data that this was trained on; None if it is."""
    try:
        report = Records(store).manifest_of(Report(uri=uri, hash=recorded, passed=True)).result
    except MissingRecordError as error:
        return str(error)
    assert report is not None
    judged = {report.facts.get("model"), report.facts.get("dataset")} - {None}
    data = entry.version.facts.get("training_set", {}).get("hash")
    return None if judged & {entry.version.hash, data} else f"its report {uri} is of something else"
