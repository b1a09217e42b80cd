"""The append-only ledger of a product's model versions, kept in the artifact root."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_mlops_provider.exceptions import ConflictError, IntegrityError
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import (
    LedgerEntry,
    Status,
    check_move,
    check_same,
    last_entries,
    live_version,
    registered,
    status_of,
)
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.record_files import parse_record

TRIES = 20


class Ledger:
    """A product's model versions and every move they made.

    Each entry is a numbered object that can be created once and never written again: of two movers that read the
    same state, one gets the number and the other looks again at what there is then. Each holds a digest of all before
    it, and every reading checks the whole. What a chain can't show, a changed last entry or entries that were taken
    away, the head shows that is kept elsewhere.
    """

    def __init__(self, store: ArtifactStore, product: str) -> None:
        self._store = store
        self.product = product
        self._prefix = product_key(product, "ledger")

    def entries(self) -> list[LedgerEntry]:
        """Return all entries, oldest first. :raises IntegrityError: naming the file that is missing or was changed."""
        return self._read()[0]

    def live(self) -> ModelVersion | None:
        """Return the version that answers in production, if one does."""
        return live_version(self.entries())

    def head(self) -> str | None:
        """Return the last entry's number with a digest of the whole; None while there is none."""
        digests = self._read()[1]
        return _head(digests, len(digests) - 1) if digests else None

    def since(self, head: str | None) -> tuple[list[LedgerEntry], list[LedgerEntry]]:
        """Return all entries, and of these the ones that came after a head that was kept elsewhere.

        :raises IntegrityError: if entries up to that head were changed or taken away.
        """
        entries, digests = self._read()
        if head is None:
            return entries, entries
        said = head.partition(":")[0]
        number = int(said) if said.isdecimal() else -1
        if number < 0:
            raise IntegrityError(f"the head that was kept of the ledger of {self.product} is no head: {head[:80]!r}")
        if number >= len(digests):
            raise IntegrityError(
                f"{self.file(len(digests))} is missing: the ledger ended with entry {number} when its head was kept"
            )
        if _head(digests, number) != head:
            raise IntegrityError(f"{self.file(number)} or an entry before it is not the one whose digest was kept")
        return entries, entries[number + 1 :]

    def file(self, number: int) -> str:
        """Return where an entry lies below the artifact root."""
        return f"{self._prefix}/{number:08d}.json"

    def move(
        self, version: ModelVersion, to: Status, *, reason: str, by: str, evidence: dict[str, Any] | None = None
    ) -> LedgerEntry:
        """Move a version and return the entry that says so; a version that stands there already stays.

        :raises TransitionError: if it may not move that way, or was registered as another model.
        :raises ConflictError: if others kept moving first.
        """
        for _ in range(TRIES):
            entries, digests = self._read()
            now = status_of(entries, version.version)
            known = check_same(registered(entries, version.version), version) if now else version
            if now is to:
                return last_entries(entries)[version.version]
            was = check_move(entries, version.version, to)
            said = {"version": known, "reason": reason, "evidence": evidence or {}, "by": by}
            if entry := self._enter(entries, digests, status=to, was=was, **said):
                return entry
        raise ConflictError(f"{self._prefix} changed {TRIES} times while version {version.version} was to move; retry")

    def note(self, version: ModelVersion, *, reason: str, by: str, evidence: dict[str, Any]) -> LedgerEntry:
        """Keep something about a version, which stays where it is. Errors as for :meth:`move`."""
        for _ in range(TRIES):
            entries, digests = self._read()
            known = check_same(registered(entries, version.version), version)
            now = status_of(entries, version.version)
            said = {"version": known, "reason": reason, "evidence": evidence, "by": by}
            if entry := self._enter(entries, digests, status=now, was=now, **said):
                return entry
        raise ConflictError(f"{self._prefix} changed {TRIES} times while of version {version.version} was kept; retry")

    def _enter(self, entries: Sequence[LedgerEntry], digests: Sequence[str], **fields: Any) -> LedgerEntry | None:
        """Write the entry after some others and return it; None if somebody else was first."""
        previous = digests[-1] if digests else _NOTHING
        entry = LedgerEntry(sequence=len(entries), previous=previous, at=datetime.now(UTC), **fields)
        try:
            self._store.write_new(self.file(entry.sequence), entry.to_file())
        except ConflictError:
            return None
        return entry

    def _read(self) -> tuple[list[LedgerEntry], list[str]]:
        """Return the entries, and for each the digest of all up to it."""
        entries: list[LedgerEntry] = []
        digests: list[str] = []
        for key in self._store.list(self._prefix):
            if key != self.file(len(entries)):
                raise IntegrityError(f"{key} lies where the ledger's next entry, {self.file(len(entries))}, should be")
            data = self._store.read(key)
            entry = parse_record(key, data, LedgerEntry)
            flaw = self._flaw(entries, digests, entry)
            if flaw:
                raise IntegrityError(f"{key} {flaw}")
            entries.append(entry)
            digests.append(_digest(digests[-1] if digests else _NOTHING, data))
        return entries, digests

    def _flaw(self, before: Sequence[LedgerEntry], digests: Sequence[str], entry: LedgerEntry) -> str | None:
        """Say what is wrong with an entry that comes after some others; None if nothing is."""
        number, chained = entry.version.version, bool(before and before[-1].previous)
        if entry.sequence != len(before):
            return f"says that it is entry {entry.sequence}"
        if entry.version.name != self.product:
            return f"is of {entry.version.name!r}, not {self.product!r}"
        if (chained or entry.previous) and entry.previous != (digests[-1] if digests else _NOTHING):
            return "does not continue the entries before it: one of them, or it, was changed"
        if entry.previous and entry.was != status_of(before, number):
            return f"says that version {number} was {entry.was}, which it was not"
        known = next((other.version for other in before if other.version.version == number), entry.version)
        if (entry.version.uri, entry.version.hash) != (known.uri, known.hash):
            return f"names another model than version {number} was registered with"
        return None


_NOTHING = hashlib.sha256().hexdigest()


def _digest(before: str, data: bytes) -> str:
    return hashlib.sha256(before.encode() + data).hexdigest()


def _head(digests: Sequence[str], number: int) -> str:
    return f"{number}:{digests[number]}"
