"""The append-only ledger of a product's model versions, kept in the artifact root."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_mlops_provider.backends.artifacts import BucketStore, FolderStore
from airflow_mlops_provider.exceptions import ConflictError
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.registry import LedgerEntry, Status, check_move, live_version, status_of

TRIES = 20


class Ledger:
    """A product's model versions and every move they made.

    Each entry is a numbered object that can be created once and never written again: of two movers that read the
    same state, one gets the number and the other looks again at what then stands.
    """

    def __init__(self, store: FolderStore | BucketStore, product: str) -> None:
        self._store = store
        self._prefix = f"{product}/ledger"

    def entries(self) -> list[LedgerEntry]:
        """Return all entries, oldest first."""
        keys = self._store.list(self._prefix)
        return [LedgerEntry.model_validate_json(self._store.read(key)) for key in keys]

    def live(self) -> ModelVersion | None:
        """Return the version that answers in production, if one does."""
        return live_version(self.entries())

    def move(
        self,
        version: ModelVersion,
        to: Status,
        *,
        reason: str,
        by: str,
        evidence: dict[str, Any] | None = None,
        as_of: datetime | None = None,
    ) -> LedgerEntry:
        """Move a version and return the entry that says so; a version that stands there already stays.

        :raises TransitionError: if it may not move that way.
        :raises ConflictError: if others kept moving first.
        """
        for _ in range(TRIES):
            entries = self.entries()
            if status_of(entries, version.version) is to:
                return next(e for e in reversed(entries) if e.version.version == version.version)
            entry = LedgerEntry(
                sequence=len(entries),
                version=version,
                status=to,
                was=check_move(entries, version.version, to),
                reason=reason,
                evidence=evidence or {},
                by=by,
                at=datetime.now(UTC),
                as_of=as_of,
            )
            try:
                self._store.write_new(
                    f"{self._prefix}/{entry.sequence:08d}.json", entry.model_dump_json(indent=1).encode()
                )
            except ConflictError:
                continue
            return entry
        raise ConflictError(f"{self._prefix} changed {TRIES} times while version {version.version} was to move; retry")
