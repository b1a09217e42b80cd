"""The records that jobs left: how a result was made and from what, back to the raw data.

Each product's declaration is kept beside its results: who reads those need not run the product's code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from airflow_mlops_provider.exceptions import IntegrityError, MissingRecordError, UnknownNameError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.lineage import Lineage, Made, ingredients, key_of, lineage
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion, Reference
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry
from airflow_mlops_provider.storage.artifacts import MANIFEST, ArtifactStore
from airflow_mlops_provider.storage.dataset_lists import expanded
from airflow_mlops_provider.storage.layout import (
    DECLARATIONS,
    Record,
    declaration_key,
    find_result,
    parse_result,
    product_key,
    record_kind,
)
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.record_files import at_once, read_all, read_kept

KEPT = 2048
OWN: tuple[Record, ...] = ("newest", "replaced")


@dataclass(frozen=True)
class VersionRecord:
    """A model version and the records of its making.

    :param trained: the manifest of the job that made the model.
    :param registered: the manifest of the job that registered it; None if that is gone.
    """

    version: ModelVersion
    trained: Manifest
    registered: Manifest | None


class Records:
    """Reads the manifests and ledgers below an artifact root, each file once.

    A root that was moved or copied reads the same: a result is found by its address, not by its whole URI, and is taken
    for what a reference means only if its hash is the reference's.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self._read = lru_cache(maxsize=KEPT)(self._read_anew)

    def manifest_of(self, reference: Reference) -> Manifest:
        """Return the manifest of the job that made what a reference means; a model version's is its training's.

        Of several runs that made the very same, the one whose result is exactly this reference, else the first.

        :raises MissingRecordError: if there is none of this content.
        """
        manifests = _of_content(self._at(reference, *OWN), reference)
        if not manifests:
            raise MissingRecordError(f"no record under {reference.uri} tells how {reference.hash[:12]} was made")
        return next((manifest for manifest in manifests if manifest.result == reference), manifests[0])

    def recorded(self, key: str, reference: Reference) -> Manifest | None:
        """Return the manifest of the result in a folder, by its key below the root; None if there is none.

        :param reference: what is claimed of it: of several, the one that says the same is returned, else the first
            with the same content, else the first, which then says something else.
        """
        result = parse_result(key)
        if result is None or result.work == key:
            return None
        newest = self._read(f"{result.work}/{MANIFEST}")  # mostly it is this one, and nothing need be listed
        if newest and _is_of(newest, key) and _agrees(newest, reference):
            return newest
        manifests = [manifest for manifest in self._in(result.work, *OWN) if _is_of(manifest, key)]
        same = _of_content(manifests, reference)
        agreeing = (manifest for manifest in same if _agrees(manifest, reference))
        return next(agreeing, next(iter([*same, *manifests]), None))

    def made(self, reference: Reference, within: Manifest | None = None) -> Made:
        """Return how a result was made, or that its record is missing.

        :param within: the manifest of what was made of it; knows who handed on what no job of ours made.
        """
        by = within.external.get(reference.uri) if within else None
        if by is not None:
            return Made(reference, None, f"made by no job of ours; handed on by {by}", external=True)
        try:
            return Made(reference, self.manifest_of(reference), reuses=self.reuses(reference))
        except MissingRecordError as error:
            return Made(reference, None, str(error))

    def made_by(self, job: str, dataset: Dataset) -> str | None:
        """Return the hash of the job's result that a dataset is, or that others made it of; None if there is none."""
        made = self.made(dataset)
        behind = [made, *(self.ancestors(made.manifest) if made.manifest else ())]
        its_own = (
            part.reference.hash
            for part in behind
            if part.manifest and part.manifest.spec.job == job and part.manifest.spec.interval == dataset.interval
        )
        return next(its_own, None)

    def ancestors(self, manifest: Manifest) -> Iterator[Made]:
        """Yield all that a job's result was made of, nearest first, each once: its inputs, their inputs, …

        What it was merely compared with is left out. A result whose record is missing ends its branch.
        """
        seen: set[str] = set()
        waiting = deque((manifest, reference) for _, reference in ingredients(manifest))
        while waiting:
            within, reference = waiting.popleft()
            if key_of(reference) in seen:
                continue
            seen.add(key_of(reference))
            made = self.made(reference, within)
            yield made
            if made.manifest is not None:
                waiting.extend((made.manifest, used) for _, used in ingredients(made.manifest))

    def reuses(self, reference: Reference) -> int:
        """Return how many more runs found a result's work finished, or did it again.

        By the names of their manifests: each night leaves one, and a version's lineage would read them all.
        """
        result = find_result(reference.uri)
        return sum(record_kind(key) == "reused" for key in self.store.list(result.work)) if result else 0

    def lineage(self, product: str, number: int) -> Lineage:
        """Return the graph of all that a model version was made of. :raises UnknownNameError: if there is none such."""
        moves = self.moves(product, number)
        version = moves[0].version
        made, registered = [self.made(version)], self._registered(version)
        if made[0].manifest is not None:
            made += self.ancestors(made[0].manifest)
        return lineage(version, moves, made, registered.spec.run if registered else None)

    def version(self, product: str, number: int) -> VersionRecord:
        """Return a version with the records of its making. :raises MissingRecordError: if the training's is gone."""
        version = self.moves(product, number)[0].version
        return VersionRecord(version, self.manifest_of(version), self._registered(version))

    def moves(self, product: str, number: int) -> tuple[LedgerEntry, ...]:
        """Return a version's entries in the ledger, oldest first. :raises UnknownNameError: if it has none."""
        entries = self.entries(product)
        moves = tuple(entry for entry in entries if entry.version.version == number)
        if not moves:
            known = {f"{product}@{entry.version.version}" for entry in entries}
            raise UnknownNameError("model version", f"{product}@{number}", known)
        return moves

    def entries(self, product: str) -> list[LedgerEntry]:
        """Return a product's ledger. :raises UnknownNameError: if it is empty; the message lists those that are not."""
        entries = Ledger(self.store, product).entries()
        if not entries:
            raise UnknownNameError("product with model versions", product, self.products())
        return entries

    def products(self) -> list[str]:
        """Return the products that have a model version."""
        return [name for name in self.declared() if self.store.list(product_key(name, "ledger"))]

    def registered_any(self, product: str) -> bool:
        """Say whether a product has a ledger, or had one: a version was registered of it."""
        return any(self.store.list(key) for key in (product_key(product, "ledger"), f"{product}/register"))

    def declared(self) -> list[str]:
        """Return the products that have run a job."""
        return [PurePosixPath(key).stem for key in self.store.list(DECLARATIONS)]

    def all(self, product: str, *jobs: str) -> Iterator[Manifest]:
        """Yield each manifest of a product, failed and replaced ones included: of some jobs, or of all."""
        for folder in [f"{product}/{job}" for job in jobs] or [product]:
            keys = [key for key in self.store.list(folder) if record_kind(key) in OWN]
            yield from filter(None, at_once(self.store, self._read, keys))

    def _at(self, reference: Reference, *kinds: Record) -> list[Manifest]:
        """Return the readable manifests at a reference's address, the first that ended first."""
        result = find_result(reference.uri)
        return self._in(result.work, *kinds) if result else []

    def _in(self, work: str, *kinds: Record) -> list[Manifest]:
        keys = [key for key in self.store.list(work) if record_kind(key) in kinds]
        keys.sort(key=lambda key: (key.endswith(MANIFEST), key))
        return [*filter(None, at_once(self.store, self._read, keys))]

    def _registered(self, version: ModelVersion) -> Manifest | None:
        def is_its(manifest: Manifest) -> bool:
            made = manifest.result
            return isinstance(made, ModelVersion) and (made.version, made.hash) == (version.version, version.hash)

        registered = filter(is_its, self.all(version.name, "register"))
        return min(registered, key=lambda manifest: manifest.ended, default=None)

    def _read_anew(self, key: str) -> Manifest | None:
        manifest = read_kept(self.store, key, Manifest)
        with suppress(IntegrityError):  # a list that is gone leaves the rest of the record
            return manifest and manifest.model_copy(update={"spec": expanded(self.store, manifest.spec)})
        return manifest


def declare(store: ArtifactStore, product: MLProduct) -> None:
    """Keep a product's declaration as it now is; nothing is written if it is the one that was kept."""
    key, data = declaration_key(product.name), product.to_file()
    try:
        known = store.read(key)
    except FileNotFoundError:
        known = b""
    if known != data:
        store.write(key, data)


def declared(store: ArtifactStore) -> list[MLProduct]:
    """Return the products that have run a job, by name; one that can't be read is left out, its next job writes it."""
    return read_all(store, store.list(DECLARATIONS), MLProduct)


def _of_content(manifests: list[Manifest], reference: Reference) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest.result and manifest.result.hash == reference.hash]


def _is_of(manifest: Manifest, key: str) -> bool:
    """Say whether a manifest's result lies in that very folder; the root may have been another one."""
    return manifest.result is not None and f"/{manifest.result.uri.rstrip('/')}".endswith(f"/{key}")


def _agrees(manifest: Manifest, reference: Reference) -> bool:
    """Say whether a manifest says of its result what a reference claims, as far as that claims anything."""
    result = manifest.result
    if result is None or result.hash != reference.hash:
        return False
    return result.kind != reference.kind or reference.facts in ({}, result.facts)
