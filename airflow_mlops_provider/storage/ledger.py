"""The append-only ledger of a product's model versions, kept in the artifact root."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from airflow_mlops_provider.exceptions import ConflictError, IntegrityError
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import (
    MOVES,
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
from airflow_mlops_provider.storage.record_files import at_once, parse_record

TRIES = 20


class Chain(NamedTuple):
    """Entries of a ledger, oldest first: each read, its bytes, and the digest of all up to it."""

    entries: list[LedgerEntry]
    data: list[bytes]
    digests: list[str]

    @property
    def head(self) -> str | None:
        """The last entry's number with a digest of the whole; None while there is none."""
        return self.head_at(len(self.digests) - 1) if self.digests else None

    def head_at(self, number: int) -> str:
        """Return what the head was when an entry was the last."""
        return f"{number}:{self.digests[number]}"


def head_number(head: str | None) -> int:
    """Return the number of the entry that a head is of; -1 if it is none."""
    number = (head or "").partition(":")[0]
    return int(number) if number.isdecimal() and number.isascii() else -1


def chained(product: str, files: Iterable[tuple[str, bytes]]) -> Chain:
    """Return the chain that some files, given with their names in order, are.

    :raises IntegrityError: naming the file that was changed, or comes where another should.
    """
    chain = Chain([], [], [])
    first, last = dict[int, ModelVersion](), dict[int, Status]()  # by a version's number
    for name, data in files:
        before = chain.digests[-1] if chain.digests else _NOTHING
        entry = parse_record(name, data, LedgerEntry)
        number = entry.version.version
        if flaw := _flaw(
            product, chain.entries, before, entry, first.setdefault(number, entry.version), last.get(number)
        ):
            raise IntegrityError(f"{name} {flaw}")
        if entry.moves:
            last[number] = entry.status
        chain.entries.append(entry)
        chain.data.append(data)
        chain.digests.append(hashlib.sha256(before.encode() + data).hexdigest())
    return chain


class Ledger:
    """A product's model versions and every move they made.

    Each entry is a numbered object that can be created once and never written again: of two movers that read the
    same state, one gets the number and the other looks again at what there is then. Each holds a digest of all before
    it, and every reading checks the whole. What a chain can't show, a changed last entry or entries that were taken
    away, the head shows that is kept elsewhere.
    """

    def __init__(self, store: ArtifactStore, product: str) -> None:
        self.store = store
        self.product = product
        self.prefix = product_key(product, "ledger")

    def entries(self) -> list[LedgerEntry]:
        """Return all entries, oldest first. :raises IntegrityError: naming the file that is missing or was changed."""
        return self.read().entries

    def live(self) -> ModelVersion | None:
        """Return the version that answers in production, if one does."""
        return live_version(self.entries())

    def head(self) -> str | None:
        """Return the last entry's number with a digest of the whole; None while there is none."""
        return self.read().head

    def since(self, head: str | None) -> tuple[list[LedgerEntry], list[LedgerEntry]]:
        """Return all entries, and those of them that :meth:`after` returns. Raises as that and :meth:`entries`."""
        chain = self.read()
        return chain.entries, self.after(chain, head)

    def after(self, chain: Chain, head: str | None) -> list[LedgerEntry]:
        """Return the entries of a chain that came after a head that was kept elsewhere.

        :raises IntegrityError: if entries up to that head were changed or taken away.
        """
        if head is None:
            return chain.entries
        number = head_number(head)
        if number < 0:
            raise IntegrityError(f"the head that was kept of the ledger of {self.product} is no head: {head[:80]!r}")
        if number >= len(chain.digests):
            missing = self.file(len(chain.digests))
            raise IntegrityError(f"{missing} is missing: the ledger ended with entry {number} when its head was kept")
        if chain.head_at(number) != head:
            raise IntegrityError(f"{self.file(number)} or an entry before it is not the one whose digest was kept")
        return chain.entries[number + 1 :]

    def file(self, number: int) -> str:
        """Return where an entry lies below the artifact root."""
        return f"{self.prefix}/{number:08d}.json"

    def move(
        self, version: ModelVersion, to: Status, *, reason: str, by: str, evidence: dict[str, Any] | None = None
    ) -> LedgerEntry:
        """Move a version and return the entry that says so; a version that is there already stays, but for approvals.

        :raises TransitionError: if it may not move that way, or was registered as another model.
        :raises ConflictError: if others kept moving first.
        """
        for _ in range(TRIES):
            entries, _, digests = self.read()
            now = status_of(entries, version.version)
            known = check_same(registered(entries, version.version), version) if now else version
            if now is to and to not in MOVES[to]:
                return last_entries(entries)[version.version]
            was = check_move(entries, version.version, to)
            said = {"version": known, "reason": reason, "evidence": evidence or {}, "by": by}
            if entry := self._enter(entries, digests, status=to, was=was, **said):
                return entry
        raise ConflictError(f"{self.prefix} changed {TRIES} times while version {version.version} was to move; retry")

    def note(self, version: ModelVersion, *, reason: str, by: str, evidence: dict[str, Any]) -> LedgerEntry:
        """Keep something about a version, which stays where it is. Errors as for :meth:`move`."""
        for _ in range(TRIES):
            entries, _, digests = self.read()
            known = check_same(registered(entries, version.version), version)
            now = status_of(entries, version.version)
            said = {"version": known, "reason": reason, "evidence": evidence, "by": by}
            if entry := self._enter(entries, digests, status=now, was=now, **said):
                return entry
        raise ConflictError(f"{self.prefix} changed {TRIES} times while of version {version.version} was kept; retry")

    def _enter(self, entries: Sequence[LedgerEntry], digests: Sequence[str], **fields: Any) -> LedgerEntry | None:
        """Write the entry after some others and return it; None if somebody else was first."""
        previous = digests[-1] if digests else _NOTHING
        entry = LedgerEntry(sequence=len(entries), previous=previous, at=datetime.now(UTC), **fields)
        try:
            self.store.write_new(self.file(entry.sequence), entry.to_file())
        except ConflictError:
            return None
        return entry

    def read(self) -> Chain:
        """Return all entries with their bytes and digests. Raises as :meth:`entries`."""
        return chained(self.product, self._files())

    def _files(self) -> Iterator[tuple[str, bytes]]:
        keys = self.store.list(self.prefix)
        for number, key in enumerate(keys):
            if key != self.file(number):
                raise IntegrityError(f"{key} lies where the ledger's next entry, {self.file(number)}, should be")
        yield from zip(keys, at_once(self.store, self.store.read, keys), strict=True)


_NOTHING = hashlib.sha256().hexdigest()


def _flaw(
    product: str,
    before: Sequence[LedgerEntry],
    digest: str,
    entry: LedgerEntry,
    known: ModelVersion,
    was: Status | None,
) -> str | None:
    """Say what is wrong with an entry that comes after some others, whose digest is given; None if nothing is.

    :param known, was: its version as these entered it first, or itself, and the status that they left it in.
    """
    number, is_chained = entry.version.version, bool(before and before[-1].previous)
    if entry.sequence != len(before):
        return f"says that it is entry {entry.sequence}"
    if entry.version.name != product:
        return f"is of {entry.version.name!r}, not {product!r}"
    if (is_chained or entry.previous) and entry.previous != digest:
        return "does not continue the entries before it: one of them, or it, was changed"
    if entry.previous and entry.was != was:
        return f"says that version {number} was {entry.was}, which it was not"
    if (entry.version.uri, entry.version.hash) != (known.uri, known.hash):
        return f"names another model than version {number} was registered with"
    return None
