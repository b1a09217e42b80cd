"""The records that jobs left: how a result was made and from what, back to the raw data."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from airflow_mlops_provider.backends.artifacts import MANIFEST, BucketStore, FolderStore
from airflow_mlops_provider.backends.ledger import Ledger
from airflow_mlops_provider.exceptions import MissingRecordError, UnknownNameError
from airflow_mlops_provider.jobs.catalogue import JOBS
from airflow_mlops_provider.jobs.declarations import FOLDER as DECLARATIONS
from airflow_mlops_provider.lifecycle.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import ModelVersion, Reference
from airflow_mlops_provider.lifecycle.registry import LedgerEntry

KEPT = 2048
#: Inputs that a result was only compared with: not made of them.
COMPARED = {"champion"}
# As a job's address makes it: product, job, digest, and below that the folder named by its content.
_RESULT = re.compile(r"(?P<folder>[a-z][a-z0-9_]{0,62}/[a-z_]+/[0-9a-f]{32})(?:/[0-9a-f]{16})?/?$", re.ASCII)
_RECORD = re.compile(r"[^/]+/[a-z_]+/[0-9a-f]{32}/(?:manifest|\d{8}T\d{12}Z)\.json", re.ASCII)


@dataclass(frozen=True)
class Made:
    """A result and how it was made.

    :param reference: the result, as the one that used it, or the ledger, names it.
    :param manifest: the record of its making; None if that is gone.
    :param missing: why there is no record; empty if there is one.
    """

    reference: Reference
    manifest: Manifest | None
    missing: str = ""


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
            return Made(reference, self.manifest_of(reference))
        except MissingRecordError as error:
            return Made(reference, None, str(error))

    def ancestors(self, manifest: Manifest) -> Iterator[Made]:
        """Yield all that a job's result was made of, nearest first, each once: its inputs, their inputs, …

        What it was merely compared with is left out. A result whose record is missing ends its branch.
        """
        seen: set[str] = set()
        waiting = deque(ingredients(manifest))
        while waiting:
            reference = waiting.popleft()
            if reference.hash in seen:
                continue
            seen.add(reference.hash)
            made = self.made(reference)
            yield made
            if made.manifest is not None:
                waiting.extend(ingredients(made.manifest))

    def version(self, product: str, number: int) -> VersionRecord:
        """Return a model version with the records of its making.

        :raises UnknownNameError: if the product's ledger has no such version; the message lists those it has.
        :raises MissingRecordError: if the training's record is gone.
        """
        entries = self.entries(product)
        moves = tuple(entry for entry in entries if entry.version.version == number)
        if not moves:
            known = {f"{product}@{entry.version.version}" for entry in entries}
            raise UnknownNameError("model version", f"{product}@{number}", known)
        version = moves[0].version
        return VersionRecord(version, moves, self.manifest_of(version), self._registered(version))

    def entries(self, product: str) -> list[LedgerEntry]:
        """Return a product's ledger. :raises UnknownNameError: if it is empty; the message lists those that are not."""
        found = Ledger(self.store, product).entries()
        if not found:
            raise UnknownNameError("product with model versions", product, self.products())
        return found

    def products(self) -> list[str]:
        """Return the products that have a model version."""
        known = [PurePosixPath(key).stem for key in self.store.list(DECLARATIONS)]
        return [name for name in known if self.store.list(f"{name}/ledger")]

    def all(self, product: str, *jobs: str) -> Iterator[Manifest]:
        """Yield each manifest of a product, failed and replaced ones included: of some jobs, or of all."""
        for job in jobs or JOBS:
            for key in self.store.list(f"{product}/{job}"):
                if _RECORD.fullmatch(key):
                    yield self._read(key)

    def _told(self, reference: Reference) -> Iterator[Manifest]:
        """Yield the manifests at a reference's address, the first that ended first."""
        where = _RESULT.search(reference.uri)
        if where is not None:
            keys = [key for key in self.store.list(where["folder"]) if _RECORD.fullmatch(key)]
            yield from map(self._read, sorted(keys, key=lambda key: (key.endswith(MANIFEST), key)))

    def _registered(self, version: ModelVersion) -> Manifest | None:
        def tells(manifest: Manifest) -> bool:
            made = manifest.result
            return isinstance(made, ModelVersion) and (made.version, made.hash) == (version.version, version.hash)

        return next(filter(tells, self.all(version.name, "register")), None)

    def _read_anew(self, key: str) -> Manifest:
        return Manifest.model_validate_json(self.store.read(key))


def ingredients(manifest: Manifest) -> list[Reference]:
    """Return what a job's result was made of, in the order in which its inputs were given."""
    found: list[Reference] = []
    for role, given in manifest.spec.inputs.items():
        if role not in COMPARED:
            found += given if isinstance(given, tuple) else (given,)
    return found
