"""The records that jobs left: how a result was made and from what, back to the raw data."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from airflow_mlops_provider.backends.artifacts import MANIFEST, RESULT, BucketStore, FolderStore
from airflow_mlops_provider.backends.ledger import Ledger
from airflow_mlops_provider.exceptions import MissingRecordError, UnknownNameError
from airflow_mlops_provider.jobs.catalogue import JOBS
from airflow_mlops_provider.jobs.declarations import FOLDER as DECLARATIONS
from airflow_mlops_provider.lifecycle.lineage import Lineage, Made, ingredients, key_of, lineage
from airflow_mlops_provider.lifecycle.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import ModelVersion, Reference
from airflow_mlops_provider.lifecycle.registry import LedgerEntry
from airflow_mlops_provider.lifecycle.spec import RunIdentity

KEPT = 2048
_REUSE = re.compile(r"[^/]+/[a-z_]+/[0-9a-f]{32}/reused/[0-9a-f]{16}/manifest\.json", re.ASCII)
_RECORD = re.compile(r"[^/]+/[a-z_]+/[0-9a-f]{32}/(?:manifest|\d{8}T\d{12}Z)\.json", re.ASCII)


@dataclass(frozen=True)
class VersionRecord:
    """A model version and the records of its making.

    :param moves: its entries in the ledger, oldest first.
    :param trained: the manifest of the job that made the model.
    :param registered: the manifest of the job that registered it; None if that is gone.
    """

    version: ModelVersion
    moves: tuple[LedgerEntry, ...]
    trained: Manifest
    registered: Manifest | None


class Records:
    """Reads the manifests and ledgers below an artifact root, each file once.

    A root that was moved or copied reads the same: a result is found by its address, not by its whole URI, and is taken
    for what a reference means only if its hash is the reference's.

    :param store: the artifact root.
    """

    def __init__(self, store: FolderStore | BucketStore) -> None:
        self.store = store
        self._read = lru_cache(maxsize=KEPT)(self._read_anew)

    def manifest_of(self, reference: Reference) -> Manifest:
        """Return the manifest of the job that made what a reference means; a model version's is its training's.

        Of several runs that made the very same, the one that told exactly this reference, else the first.

        :raises MissingRecordError: if none is there that tells of this content.
        """
        found = [one for one in self._told(reference) if one.result and one.result.hash == reference.hash]
        if not found:
            raise MissingRecordError(f"no record under {reference.uri} tells how {reference.hash[:12]} was made")
        return next((one for one in found if one.result == reference), found[0])

    def made(self, reference: Reference) -> Made:
        """Return how a result was made, or that its record is missing."""
        try:
            return Made(reference, self.manifest_of(reference), reused=self.reuses(reference))
        except MissingRecordError as error:
            return Made(reference, None, str(error))

    def ancestors(self, manifest: Manifest) -> Iterator[Made]:
        """Yield all that a job's result was made of, nearest first, each once: its inputs, their inputs, …

        What it was merely compared with is left out. A result whose record is missing ends its branch.
        """
        seen: set[str] = set()
        waiting = deque(ingredients(manifest))
        while waiting:
            _, reference = waiting.popleft()
            if key_of(reference) in seen:
                continue
            seen.add(key_of(reference))
            made = self.made(reference)
            yield made
            if made.manifest is not None:
                waiting.extend(ingredients(made.manifest))

    def reuses(self, reference: Reference) -> tuple[RunIdentity, ...]:
        """Return the runs that found a result's work finished, the first first."""
        found = [self._read(key) for key in self._keys(reference, _REUSE)]
        found = [one for one in found if one.result and one.result.hash == reference.hash]
        return tuple(one.spec.run for one in sorted(found, key=lambda one: one.ended))

    def lineage(self, product: str, number: int) -> Lineage:
        """Return the graph of all that a model version was made of.

        :raises UnknownNameError: if there is no such version; the message lists those there are.
        """
        moves = self.moves(product, number)
        version = moves[0].version
        made, registered = [self.made(version)], self._registered(version)
        if made[0].manifest is not None:
            made += self.ancestors(made[0].manifest)
        return lineage(version, moves, made, registered.spec.run if registered else None)

    def version(self, product: str, number: int) -> VersionRecord:
        """Return a model version with the records of its making.

        :raises UnknownNameError: if there is no such version; the message lists those there are.
        :raises MissingRecordError: if the training's record is gone.
        """
        moves = self.moves(product, number)
        version = moves[0].version
        return VersionRecord(version, moves, self.manifest_of(version), self._registered(version))

    def moves(self, product: str, number: int) -> tuple[LedgerEntry, ...]:
        """Return a version's entries in the ledger, oldest first. :raises UnknownNameError: if it has none."""
        entries = self.entries(product)
        found = tuple(entry for entry in entries if entry.version.version == number)
        if not found:
            known = {f"{product}@{entry.version.version}" for entry in entries}
            raise UnknownNameError("model version", f"{product}@{number}", known)
        return found

    def entries(self, product: str) -> list[LedgerEntry]:
        """Return a product's ledger. :raises UnknownNameError: if it is empty; the message lists those that are not."""
        found = Ledger(self.store, product).entries()
        if not found:
            raise UnknownNameError("product with model versions", product, self.products())
        return found

    def products(self) -> list[str]:
        """Return the products that have a model version."""
        return [name for name in self.declared() if self.store.list(f"{name}/ledger")]

    def declared(self) -> list[str]:
        """Return the products that have run a job."""
        return [PurePosixPath(key).stem for key in self.store.list(DECLARATIONS)]

    def all(self, product: str, *jobs: str) -> Iterator[Manifest]:
        """Yield each manifest of a product, failed and replaced ones included: of some jobs, or of all."""
        for job in jobs or JOBS:
            for key in self.store.list(f"{product}/{job}"):
                if _RECORD.fullmatch(key):
                    yield self._read(key)

    def _told(self, reference: Reference) -> Iterator[Manifest]:
        """Yield the manifests at a reference's address, the first that ended first."""
        keys = self._keys(reference, _RECORD)
        yield from map(self._read, sorted(keys, key=lambda key: (key.endswith(MANIFEST), key)))

    def _keys(self, reference: Reference, pattern: re.Pattern[str]) -> list[str]:
        where = RESULT.search(reference.uri)
        return [key for key in self.store.list(where["folder"]) if pattern.fullmatch(key)] if where else []

    def _registered(self, version: ModelVersion) -> Manifest | None:
        def tells(manifest: Manifest) -> bool:
            made = manifest.result
            return isinstance(made, ModelVersion) and (made.version, made.hash) == (version.version, version.hash)

        return next(filter(tells, self.all(version.name, "register")), None)

    def _read_anew(self, key: str) -> Manifest:
        return Manifest.model_validate_json(self.store.read(key))
