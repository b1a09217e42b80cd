"""Whether a product's ledger is to be trusted: compared with the head that MLflow keeps, and with its evidence."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from airflow_mlops_provider.backends.tracking.mlflow.mirror import Kept, Mirror, Shown, approving
from airflow_mlops_provider.exceptions import (
    ConfigurationError,
    IntegrityError,
    MissingRecordError,
    OtherRegistryError,
    TransitionError,
)
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release import registry, waivers
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status
from airflow_mlops_provider.lifecycle.release.waivers import Waiver
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.runtime.inputs import NOTHING
from airflow_mlops_provider.storage.artifacts import ArtifactStore, content_hash
from airflow_mlops_provider.storage.erasures import recorded_content
from airflow_mlops_provider.storage.layout import key_below, product_key
from airflow_mlops_provider.storage.ledger import Chain, Ledger
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
        mirrored = self.mirror.read()  # before the ledger: it must not know of more than that
        return self._trusted(self.read(), mirrored)

    def show(self) -> list[str]:
        """Have MLflow show what this ledger says, if that is to be trusted, and return what differed. Raises the same.

        An entry that somebody slipped in since the last look must not be vouched for.
        """
        return self.mirror.follow(self, self._trusted)

    def complete(self) -> list[str]:
        """Have MLflow keep copies of the entries of which it has none. Returns and raises as :meth:`show`."""
        mirrored, chain = self.mirror.read(), self.read()
        self._trusted(chain, mirrored)
        return self.mirror.complete(chain)

    def announce(self, version: int) -> None:
        """Tell MLflow that a version is about to go live; first the moves that rest on an earlier announcement."""
        self._show_earlier()
        self.mirror.announce(version)

    def announce_approval(self, version: int, by: str) -> None:
        """Tell MLflow that somebody's approval is about to be entered; first what rests on an earlier one."""
        self._show_earlier()
        self.mirror.announce_approval(version, by)

    def _show_earlier(self) -> None:
        if self.mirror.read().head != self.head():
            self.show()

    def _trusted(self, chain: Chain, mirrored: Shown) -> list[LedgerEntry]:
        known, further = chain.entries, self.after(chain, mirrored.head)
        if known and mirrored.head is None:
            self._check_registry(known)
        for entry in further:
            if entry.previous and (flaw := self.unfounded(known[: entry.sequence + 1], mirrored)):
                name = f"{entry.version.name}@{entry.version.version} {entry.status.value}"
                raise IntegrityError(
                    f"{self.file(entry.sequence)} ({name}) is not known to MLflow, and {flaw}; nothing of this product "
                    "goes live until a person has looked"
                )
        return known

    def flaws(self, known: Sequence[LedgerEntry]) -> Iterator[str]:
        """Yield what is wrong with the record, report or model on which entries rest that the head knows."""
        for entry in known:
            if entry.previous is None:
                continue
            flaw = self._unfounded(known[: entry.sequence + 1], entry, announced(entry), erased=True)
            if flaw is None and entry.status is Status.REGISTERED:
                flaw = self._content_flaw("model", entry.version.uri, entry.version.hash)
            if flaw:
                name = f"{entry.version.name}@{entry.version.version} {entry.status.value}"
                yield f"{self.file(entry.sequence)} ({name}): {flaw}"

    def unlike(self, kept: Kept) -> Iterator[str]:
        """Yield which of the ledger's files are not those of which MLflow has a copy, or no entries."""
        keys = self.store.list(self.prefix)
        for number, data in sorted(kept.entries.items()):
            key = self.file(number)
            if key not in keys:
                yield f"{key} is gone"
            elif self.store.read(key) != data:
                yield f"{key} is not what MLflow has a copy of"
        right = {self.file(number) for number in range(len(keys))}
        yield from (f"{key} is no entry" for key in keys if key not in right)

    def unfounded(self, upto: Sequence[LedgerEntry], mirrored: Shown) -> str | None:
        """Say why the last of some entries, which MLflow does not know, can't be trusted; None if it can."""
        return self._unfounded(upto, upto[-1], mirrored)

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
        same_place = key_below(self.store, version.uri) == key_below(self.store, claimed.uri)
        return registry.check_same(version, claimed.model_copy(update={"uri": version.uri}) if same_place else claimed)

    def check_gates(self, known: Sequence[LedgerEntry], version: ModelVersion) -> LedgerEntry:
        """Return the entry by which a version became production-ready, whose report is there as it was.

        :raises IntegrityError: if it isn't, or there is no such entry.
        :raises TransitionError: if a gate was waived for it, and the waiver has ended.
        """
        passed = [entry for entry in known if entry.status is Status.PRODUCTION_READY and "report" in entry.evidence]
        own = [entry for entry in passed if entry.version.version == version.version]
        flaw = self._unfounded(known, own[-1]) if own else "no entry in the ledger tells of its gates"
        if flaw:
            raise IntegrityError(f"{version.name}@{version.version} may not go live: {flaw}")
        if over := waivers.ended(known, version.version, datetime.now(UTC).date()):
            raise TransitionError(f"{version.name}@{version.version} may not go live: {over}")
        return own[-1]

    def waive(self, version: ModelVersion, waiver: Waiver, run: str) -> LedgerEntry:
        """Enter that a person waived a gate; MLflow is told before, so that no file alone can say it."""
        kept = waiver.to_json()
        self._show_earlier()
        self.mirror.announce_waiver(digest(kept))
        entry = self.note(version, reason=waiver.reason, by=waiver.by, evidence={registry.WAIVER: kept, "run": run})
        self.show()
        return entry

    def _unfounded(
        self, upto: Sequence[LedgerEntry], entry: LedgerEntry, shown: Shown | None = None, *, erased: bool = False
    ) -> str | None:
        """Say why an entry can't be trusted by itself; None if it can.

        :param shown: what MLflow was told before such an entry; None for nothing.
        :param erased: whether its report may be without the rows that were taken out of it since.
        """
        try:
            return self._check(upto, entry, shown or Shown(), erased)
        except (MissingRecordError, ConfigurationError) as error:
            return str(error)

    def _check(self, upto: Sequence[LedgerEntry], entry: LedgerEntry, shown: Shown, erased: bool) -> str | None:
        if (unannounced := self._unannounced(entry, shown)) is not False:
            return unannounced
        if entry.status is Status.REGISTERED:
            Records(self.store).manifest_of(entry.version)
            return None
        if entry.was in (Status.SHADOW, Status.CANARY):  # another version is live and goes on
            return None
        if entry.status in (Status.APPROVED, Status.STAGING, Status.PRODUCTION_READY, Status.REJECTED):
            return self._report_flaw(entry, erased)
        if entry.status not in registry.MOVES:
            return "this release does not know such a status"
        if entry.was in registry.READY:  # it never served: nothing had to take its place
            return None
        return None if registry.live_version(upto) else "no other version is live in its place"

    def _unannounced(self, entry: LedgerEntry, shown: Shown) -> str | Literal[False] | None:
        """Say why an entry of which MLflow is told first is not to be trusted, None if it is; False for others."""
        number, right = entry.version.version, announced(entry)
        if not entry.moves:
            return None if shown.waiving == right.waiving else "nobody told MLflow that a gate was waived"
        if entry.status in (Status.SHADOW, Status.CANARY, Status.LIVE) or "rollback" in entry.evidence:
            return None if shown.deploying == number else f"no deployment of version {number} was begun"
        if entry.status is Status.APPROVED and shown.approving != right.approving:
            return f"no approval of version {number} by {entry.by} was begun"
        return False

    def _content_flaw(self, what: str, uri: str, recorded: object, *, erased: bool = False) -> str | None:
        """Say why what lies at a URI is not what an entry says; None if it is, or the entry says nothing."""
        key, read = key_below(self.store, uri), recorded_content if erased else _content
        with tempfile.TemporaryDirectory(prefix="mlops-evidence-") as scratch:
            try:
                content = read(self.store, key, self.store.download(key, Path(scratch)))
            except FileNotFoundError:
                return None if recorded == NOTHING else f"its {what} {uri} is gone"
        return None if recorded in (None, content) else f"its {what} {uri} is not what it was"

    def _report_flaw(self, entry: LedgerEntry, erased: bool) -> str | None:
        """Say why an entry's report can't be trusted: gone, changed, or of another model and other data."""
        uri, recorded = entry.evidence.get("report"), entry.evidence.get("hash")
        if not isinstance(uri, str):
            return "it names no report"
        flaw = self._content_flaw("report", uri, recorded, erased=erased)
        if flaw or recorded is None:  # an entry of a release that didn't keep it
            return flaw
        report = Records(self.store).manifest_of(Report(uri=uri, hash=str(recorded), passed=True)).result
        assert report is not None
        judged = {report.facts.get("model"), report.facts.get("dataset")} - {None}
        data = entry.version.facts.get("training_set", {}).get("hash")
        return None if judged & {entry.version.hash, data} else f"its report {uri} is of something else"


def _content(_: ArtifactStore, __: str, folder: Path) -> str:
    return content_hash(folder)


def announced(entry: LedgerEntry) -> Shown:
    """Return what MLflow was told before an entry that its head knows."""
    number = entry.version.version
    waiving = digest(entry.evidence.get(registry.WAIVER))
    return Shown(deploying=number, approving=approving(number, entry.by), waiving=waiving)
