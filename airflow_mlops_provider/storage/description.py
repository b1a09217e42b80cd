"""Gathers what is on record of a model version, for those who describe it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.description.document import Document
from airflow_mlops_provider.lifecycle.description.facts import VersionFacts
from airflow_mlops_provider.lifecycle.description.signature import signer_in
from airflow_mlops_provider.lifecycle.figures import Figure, Figures
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry
from airflow_mlops_provider.storage.artifacts import SIGNATURE, ArtifactStore
from airflow_mlops_provider.storage.layout import content_key, declaration_key, key_below, result_key
from airflow_mlops_provider.storage.record_files import parse_record, read_kept
from airflow_mlops_provider.storage.records import Records

CARD, CARD_PAGE, FIGURES = "model_card.json", "model_card.html", "figures.json"


def version_facts(records: Records, product: str, number: int) -> VersionFacts:
    """Return what is on record of a version.

    :raises UnknownNameError, MissingRecordError: if there is no such version, or no record of its training.
    """
    graph = records.lineage(product, number)
    trained = records.manifest_of(graph.version)
    evaluated = _cited(graph.moves, (made for made in records.all(product, "evaluate") if _judges(made, trained)))
    validated = _cited(graph.moves, (made for made in records.all(product, "validate") if _checks(made, trained)))
    said = evaluated.result.facts.get("evaluation") if evaluated and evaluated.result else None
    return VersionFacts(
        graph=graph,
        trained=trained,
        product=read_kept(records.store, declaration_key(product), MLProduct),
        evaluated=evaluated,
        evaluation=Evaluation.model_validate(said, extra="ignore") if said else None,
        figures=_figures(records, evaluated) if evaluated else None,
        validated=validated,
        signer=signer_of(records.store, graph.version),
    )


def card_of(records: Records, product: str, number: int) -> Document | None:
    """Return the model card that a version was registered with; None if there is none that can be read.

    :raises UnknownNameError: if there is no such version.
    :raises IntegrityError: if it is not the one that the registration wrote.
    """
    made = records.version(product, number).registered
    wrote = next((output.sha256 for output in made.outputs if output.name == CARD), None) if made else None
    if made is None or wrote is None:
        return None
    key = f"{papers_key(made)}/{CARD}"
    try:
        data = records.store.read(key)
    except FileNotFoundError:
        return None
    if hashlib.sha256(data).hexdigest() != wrote:
        raise IntegrityError(
            f"{records.store.uri}/{key} is not the model card that version {number} was registered with"
        )
    return parse_record(f"{records.store.uri}/{key}", data, Document)


def card_page(root: str, registered: Manifest | None) -> tuple[str, str] | None:
    """Return folder and file of the page of the card that a registration wrote below a root; None if it wrote none."""
    if registered is None or CARD_PAGE not in {output.name for output in registered.outputs}:
        return None
    return f"{root}/{papers_key(registered)}", CARD_PAGE


def papers_key(registered: Manifest) -> str:
    """Return the folder, below the artifact root, of what a registration wrote to describe its version."""
    content = digest({output.name: output.sha256 for output in registered.outputs})
    return content_key(result_key(registered.spec, registered.address), content)


def signer_of(store: ArtifactStore, version: ModelVersion) -> str:
    """Return the key by which the signature beside a version's files says that it is; empty if there is none."""
    with suppress(FileNotFoundError):
        return signer_in(store.read(f"{key_below(store, version.uri)}/{SIGNATURE}"))
    return ""


def _judges(made: Manifest, trained: Manifest) -> bool:
    assert trained.result is not None
    return isinstance(made.result, Report) and made.result.facts.get("model") == trained.result.hash


def _checks(made: Manifest, trained: Manifest) -> bool:
    checked, learned = made.spec.inputs.get("dataset"), trained.spec.inputs.get("training_set")
    same = isinstance(checked, Dataset) and isinstance(learned, Dataset) and checked.hash == learned.hash
    return same and isinstance(made.result, Report)


def _cited(moves: Iterable[LedgerEntry], manifests: Iterable[Manifest]) -> Manifest | None:
    """Return the manifest of the report that the ledger rests on, else the newest; None if there is none."""
    cited = {move.evidence.get("report") for move in moves}
    return max(manifests, key=lambda made: (bool(made.result and made.result.uri in cited), made.ended), default=None)


def _figures(records: Records, evaluated: Manifest) -> tuple[Figure, ...]:
    assert evaluated.result is not None
    key = f"{key_below(records.store, evaluated.result.uri)}/{FIGURES}"
    kept = read_kept(records.store, key, Figures)
    return kept.figures if kept else ()
