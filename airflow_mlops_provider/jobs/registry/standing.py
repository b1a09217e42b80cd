"""Whether a product's ledger is to be trusted: compared with the head that MLflow keeps, and with its evidence."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror
from airflow_mlops_provider.exceptions import IntegrityError, MissingRecordError, OtherRegistryError
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release import registry
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.storage.artifacts import content_hash
from airflow_mlops_provider.storage.layout import key_below, product_key
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.locks import store_lock
from airflow_mlops_provider.storage.records import Records


def one_at_a_time(context: AnyContext) -> AbstractContextManager[None]:
    """Wait until nobody else changes what serves, or may serve, of a job's product."""
    return store_lock(context.store, product_key(context.product, "serving", "deploy"))


class CheckedLedger(Ledger):
    """The ledger of a job's product, beside the head that MLflow keeps of it."""

    def __init__(self, context: AnyContext) -> None:
        super().__init__(context.store, context.product)
        self.mirror = Mirror(context.spec.services.mlflow, context.product)

    def trusted(self) -> list[LedgerEntry]:
        """Return the entries once they are those that MLflow's head knows, or follow from them with evidence.

        Entries after that head, whose writer was killed before MLflow was updated, are trusted if their evidence is
        there. Those of releases that kept no head are trusted as they are.

        :raises IntegrityError: naming the entry that is changed, missing, or without evidence.
        :raises OtherRegistryError: if MLflow keeps no head, and is not where the ledger's versions were made.
        """
        mirrored = self.mirror.read()
        known, further = self.since(mirrored.head)
        if known and mirrored.head is None:
            self._check_registry(known)
        for entry in further:
            if entry.previous is None:
                continue
            if flaw := self._unfounded(known[: entry.sequence + 1], entry, mirrored.deploying):
                name = f"{entry.version.name}@{entry.version.version} {entry.status.value}"
                raise IntegrityError(
                    f"{self.file(entry.sequence)} ({name}) is not known to MLflow, and {flaw}; nothing of this product "
                    "goes live until a person has looked"
                )
        return known

    def _check_registry(self, known: Sequence[LedgerEntry]) -> None:
        if flaw := registry.registry_flaw(known, self.mirror.versions(self.product)):
            raise OtherRegistryError(
                f"MLflow at {self.mirror.shown} is not where the versions of {self.product} were registered: {flaw}. "
                "Point the connection mlops_mlflow, or [mlops] mlflow_uri, back to where they were; or, to go on with "
                f"this one, have it take them over under their numbers: airflow mlops adopt {self.product}"
            )

    def registered_as(self, known: Sequence[LedgerEntry], claimed: ModelVersion) -> ModelVersion:
        """Return the registered version. The claimed URI of its model may be that of before the root was moved.

        :raises UnknownNameError, TransitionError: if there is none of that number, or it is another model.
        """
        version = registry.registered(known, claimed.version)
        same_place = key_below(self._store, version.uri) == key_below(self._store, claimed.uri)
        return registry.check_same(version, claimed.model_copy(update={"uri": version.uri}) if same_place else claimed)

    def check_gates(self, known: Sequence[LedgerEntry], version: ModelVersion) -> None:
        """Make sure that the report by which a version became production-ready is there as it was.

        :raises IntegrityError: if it isn't, or there is no such entry.
        """
        passed = [entry for entry in known if entry.status is Status.PRODUCTION_READY and "report" in entry.evidence]
        own = [entry for entry in passed if entry.version.version == version.version]
        flaw = self._unfounded(known, own[-1]) if own else "no entry in the ledger tells of its gates"
        if flaw:
            raise IntegrityError(f"{version.name}@{version.version} may not go live: {flaw}")

    def _unfounded(self, upto: Sequence[LedgerEntry], entry: LedgerEntry, deploying: int | None = None) -> str | None:
        """Say why an entry can't be trusted by itself; None if it can."""
        try:
            return self._check(upto, entry, deploying)
        except MissingRecordError as error:
            return str(error)

    def _check(self, upto: Sequence[LedgerEntry], entry: LedgerEntry, deploying: int | None) -> str | None:
        number = entry.version.version
        if entry.status is Status.REGISTERED:
            Records(self._store).manifest_of(entry.version)
            return None
        if entry.status in (Status.SHADOW, Status.CANARY, Status.LIVE) or "rollback" in entry.evidence:
            return None if deploying == number else f"no deployment of version {number} was begun"
        if entry.was in (Status.SHADOW, Status.CANARY):  # another version is live and goes on
            return None
        if entry.status in (Status.STAGING, Status.PRODUCTION_READY, Status.REJECTED):
            return self._report_flaw(entry)
        if entry.status not in registry.MOVES:
            return "this release does not know such a status"
        if entry.was is Status.PRODUCTION_READY:  # it never served: nothing had to take its place
            return None
        return None if registry.live_version(upto) else "no other version is live in its place"

    def _report_flaw(self, entry: LedgerEntry) -> str | None:
        """Say why an entry's report can't be trusted: gone, changed, or of another model and other data."""
        uri, recorded = entry.evidence.get("report"), entry.evidence.get("hash")
        if not isinstance(uri, str):
            return "it names no report"
        with tempfile.TemporaryDirectory(prefix="mlops-evidence-") as scratch:
            try:
                folder = self._store.download(key_below(self._store, uri), Path(scratch))
            except FileNotFoundError:
                return f"its report {uri} is gone"
            if recorded is None:  # an entry of a release that didn't keep it
                return None
            if content_hash(folder) != recorded:
                return f"its report {uri} is not what it was"
        report = Records(self._store).manifest_of(Report(uri=uri, hash=str(recorded), passed=True)).result
        assert report is not None
        judged = {report.facts.get("model"), report.facts.get("dataset")} - {None}
        data = entry.version.facts.get("training_set", {}).get("hash")
        return None if judged & {entry.version.hash, data} else f"its report {uri} is of something else"
