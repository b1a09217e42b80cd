"""Reads what the pages show from manifests and ledger, for somebody who may read some of it.

The product's code is not loaded, and what can't be read hides nothing but itself.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from airflow_mlops_provider.exceptions import IntegrityError, MLOpsError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate, Evaluation
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.change_requests import ChangeRequests
from airflow_mlops_provider.storage.layout import NAME, Record, declaration_key, product_key, record_kind
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.record_files import Reread, read_record
from airflow_mlops_provider.storage.records import Records
from airflow_mlops_provider.storage.stores.base import Mark
from airflow_mlops_provider.ui.record import ProductRecord, Unreadable

_Item = TypeVar("_Item")


class _Drift(BaseModel):
    share: float
    prediction: float
    version: int


class _Worth(BaseModel):
    amount: float
    currency: str


class _Performance(BaseModel):
    metric: Estimate | None
    value: _Worth | None


class _Evaluated(BaseModel):
    evaluation: Evaluation


#: What the pages take from a report's facts; another release may write others.
_FACTS: dict[str, type[BaseModel]] = {"drift": _Drift, "performance": _Performance, "evaluate": _Evaluated}
SHOWN: tuple[Record, ...] = ("newest", "reused")
#: How many records of each job are read, of those that did its work and of those that found it finished: the last ones.
MOST = 300
#: How many are kept, of all products.
MOST_KEPT = 10_000


def _shown(manifest: Manifest) -> Manifest:
    """Return what pages show of a manifest: a quarter of it."""
    spec = manifest.spec.model_copy(update={"settings": {}})
    return manifest.model_copy(update={"packages": {}, "code_hashes": {}, "spec": spec})


_MANIFESTS = Reread(Manifest, MOST_KEPT, _shown)


def names(store: ArtifactStore) -> list[str]:
    """Return the products that have run a job; whether anything of them may be read is another question."""
    return [name for name in Records(store).declared() if re.fullmatch(NAME, name)]


def records(store: ArtifactStore, may_read: Callable[[str], bool]) -> list[ProductRecord | Unreadable]:
    """Return the products, by name, of which at least one result may be read; other results are left out.

    :param may_read: says whether what tasks of a DAG made may be shown; the empty name means work outside Airflow.
    """
    return [product for name in names(store) if (product := record(store, name, may_read))]


def record(store: ArtifactStore, name: str, may_read: Callable[[str], bool]) -> ProductRecord | Unreadable | None:
    """Return one product, None if there is none of that name or nothing of it may be read. See :func:`records`."""
    errors: list[str] = []
    ended, older = _ended(store, name, errors)
    manifests: dict[str, list[Manifest]] = defaultdict(list)
    for manifest in ended:
        if may_read(manifest.spec.run.dag_id):
            manifests[manifest.spec.name].append(manifest)
    if not manifests and (ended or not (errors and may_read(""))):
        return None
    product = _declared(store, name, errors)
    if product is None:
        return Unreadable(name, tuple(errors))
    entries = _readable(product_key(name, "ledger"), Ledger(store, name).entries, errors)
    requests = _readable(product_key(name, "feedback"), ChangeRequests(store, name).open, errors)
    makers = _makers(ended)
    readable = readable_entries(entries, lambda version: makers.get(version.hash, {""}), may_read)
    shown = tuple(request for request in requests if may_read(dag_of(request.by)))
    return ProductRecord(product, store.uri, manifests, readable, shown, tuple(errors), older)


def readable_entries(
    entries: Iterable[LedgerEntry], makers: Callable[[ModelVersion], set[str]], may_read: Callable[[str], bool]
) -> list[LedgerEntry]:
    """Return the ledger of the versions of which somebody may read both the training and every move.

    A version without some of its moves would seem to have another status: it is shown whole or not at all.

    :param makers: gives the DAGs that made a version's model; the same model may come from several.
    """
    entries = list(entries)
    hidden = {
        entry.version.version
        for entry in entries
        if not may_read(dag_of(entry.by)) or not any(may_read(dag_id) for dag_id in makers(entry.version))
    }
    return [entry for entry in entries if entry.version.version not in hidden]


def dag_of(by: str) -> str:
    """Return the DAG on whose behalf something was done, empty if it was none: ``dag/run/task`` is how it is noted."""
    dag_id, slash, _ = by.partition("/")
    return dag_id if slash else ""


def _makers(ended: Iterable[Manifest]) -> dict[str, set[str]]:
    makers: dict[str, set[str]] = {}
    for manifest in ended:
        if isinstance(manifest.result, Model):
            makers.setdefault(manifest.result.hash, set()).add(manifest.spec.run.dag_id)
    return makers


def _declared(store: ArtifactStore, name: str, errors: list[str]) -> MLProduct | None:
    key = declaration_key(name)
    try:
        return read_record(store, key, MLProduct)
    except (OSError, IntegrityError):
        errors.append(f"{key} is no declaration that this release reads; the product's next job writes it anew")
        return None


def _readable(where: str, read: Callable[[], list[_Item]], errors: list[str]) -> list[_Item]:
    try:
        return read()
    except Exception as error:  # noqa: BLE001  # one odd file must not take the page away
        # Of our own errors the words are known; another's may repeat what is in the file.
        message = str(error) if isinstance(error, MLOpsError) else type(error).__name__
        errors.append(f"{where} can't be read: {message}")
        return []


def _ended(store: ArtifactStore, product: str, errors: list[str]) -> tuple[list[Manifest], bool]:
    """Return the last records of each job, in the order in which they ended, and whether there are older ones."""

    def name(key: str, _: Exception) -> None:
        errors.append(f"{key} is no manifest that this release reads")

    manifests, files = [], {key: mark for key, mark in store.marks(product).items() if record_kind(key) in SHOWN}
    last = _last(files)
    for key, manifest in _MANIFESTS.read(store, last, name).items():
        try:
            if isinstance(manifest.result, Report) and manifest.spec.name in _FACTS:
                _FACTS[manifest.spec.name].model_validate(manifest.result.facts)
            manifests.append(manifest)
        except ValidationError as error:
            name(key, error)
    return sorted(manifests, key=lambda manifest: manifest.ended), len(files) > len(last)


def _last(files: Mapping[str, Mark | None]) -> dict[str, Mark | None]:
    """Return those that were written last of each job and kind; all, of a store that does not say when."""
    written: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for key in sorted(files, key=lambda key: mark.written if (mark := files[key]) else math.inf):
        written[key.split("/")[1], record_kind(key)].append(key)
    unmarked = [key for key, mark in files.items() if mark is None]
    return {key: files[key] for key in [*chain.from_iterable(keys[-MOST:] for keys in written.values()), *unmarked]}
