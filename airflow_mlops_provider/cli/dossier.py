"""``airflow mlops dossier``: all that is on record of a model version, in one folder ordered by the EU AI Act."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from airflow_mlops_provider.cli.lineage import parse_version
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, UnknownNameError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.lifecycle.description.annex_iv import POINTS, DossierFacts, dossier
from airflow_mlops_provider.lifecycle.description.bom import bill_of_materials
from airflow_mlops_provider.lifecycle.description.card import model_card
from airflow_mlops_provider.lifecycle.description.provenance import provenance
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Reference, Report, parse_reference
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry
from airflow_mlops_provider.render.documents import html, markdown
from airflow_mlops_provider.storage.artifacts import (
    SIGNATURE,
    ArtifactStore,
    content_hash,
    file_hash,
    files_of,
    open_store,
)
from airflow_mlops_provider.storage.description import papers_key, version_facts
from airflow_mlops_provider.storage.layout import build_key, key_below
from airflow_mlops_provider.storage.records import Records
from airflow_mlops_provider.ui.lineage import drawing

SUMS = "SHA256SUMS"
ENVELOPE = "provenance.dsse.json"
#: What goes with which points: each file, or folder, by its name in the dossier.
WHERE = {
    "model_card.html": ("1a", "2b", "3"),
    "bom.cdx.json": ("1c", "2a", "2h"),
    "provenance.json": ("2a", "2d"),
    ENVELOPE: ("2a", "2h"),
    SIGNATURE: ("2h",),
    "lineage.svg": ("2c", "2d"),
    "ledger.json": ("2e", "6"),
    "manifests": ("2a",),
    "image": ("1c", "2a"),
    "evaluation": ("2g", "4"),
    "validation": ("2d", "2g"),
    "product.json": ("1a", "2f", "9"),
}
_OWN = re.compile(r"([1-9][a-h]?)(?:[^0-9A-Za-z].*)?", re.ASCII)


def run(args: Namespace) -> None:
    """Write a version's dossier into a new folder.

    :raises UnknownNameError: if there is no such version, or a document's name is no point.
    :raises ConfigurationError: if the folder is there already.
    :raises IntegrityError: if a report is not what was recorded.
    """
    hook = ArtifactStoreHook()
    records = Records(open_store(args.root, hook.secrets()) if args.root else hook.store())
    product, number = parse_version(args.version)
    own = documents(args.documents) if args.documents else {}
    if args.to.exists():
        raise ConfigurationError(f"{args.to} is there already; give a new folder")
    args.to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.to.parent, prefix=".dossier-") as scratch:
        folder = Path(scratch) / "dossier"
        folder.mkdir()
        lacking = write(records, product, number, own, folder)
        shutil.move(folder, args.to)
    print(f"{args.to}/index.html: {len(POINTS)} points, {lacking} of them lack something that no record says")


def write(records: Records, product: str, number: int, own: Mapping[Path, str], folder: Path) -> int:
    """Write a dossier into an empty folder, and return at how many points it says that something is not recorded."""
    version, entries = version_facts(records, product, number), records.entries(product)
    watched = (made for made in records.all(product, "performance") if isinstance(made.result, Report))
    facts = DossierFacts(version, entries, sorted(watched, key=lambda made: made.ended))
    card, statement = model_card(version), provenance(version)
    texts = {
        "model_card.html": html(card),
        "model_card.md": markdown(card),
        "model_card.json": card.to_file().decode(),
        "bom.cdx.json": json.dumps(bill_of_materials(version), indent=1),
        "provenance.json": json.dumps(statement, indent=1),
        "lineage.svg": drawing(version.graph, alone=True),
        "ledger.json": json.dumps([entry.to_json() for entry in entries], indent=1),
        **({"product.json": version.product.to_file().decode()} if version.product else {}),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    made = {"train": version.trained, "evaluate": version.evaluated, "validate": version.validated}
    registered = records.version(product, number).registered
    _manifests({**made, "register": registered}, folder / "manifests")
    for name, manifest in (("evaluation", version.evaluated), ("validation", version.validated)):
        _report(records.store, manifest, folder / name)
    _kept(records.store, f"{key_below(records.store, version.graph.version.uri)}/{SIGNATURE}", folder / SIGNATURE)
    if build := _built(version.graph.moves):
        _copied(records.store, build_key(build.hash), build, folder / "image")
    if registered:
        _kept(records.store, f"{papers_key(registered)}/{ENVELOPE}", folder / ENVELOPE)
    page = dossier(facts, _links(folder), _own_documents(own, folder))
    (folder / "index.html").write_text(html(page), "utf-8")
    (folder / "index.md").write_text(markdown(page), "utf-8")
    sums = {
        file.relative_to(folder).as_posix(): file_hash(file) for file in sorted(folder.rglob("*")) if file.is_file()
    }
    (folder / SUMS).write_text("".join(f"{sha256}  {name}\n" for name, sha256 in sums.items()))
    return sum(bool(section.missing) for section in page.sections)


def documents(folder: Path) -> dict[Path, str]:
    """Return the provider's own documents in a folder, and the point that each is named by.

    :raises UnknownNameError: for a name that begins with no point.
    """
    known, named = {point.key for point in POINTS}, {}
    for file in sorted(file for file in folder.iterdir() if file.is_file()):
        match = _OWN.fullmatch(file.name)
        if match is None or match[1] not in known:
            raise UnknownNameError("point of the annex", file.name, known)
        named[file] = match[1]
    return named


def _own_documents(own: Mapping[Path, str], folder: Path) -> dict[str, dict[str, str]]:
    """Copy the provider's own documents, and return their words and addresses by point."""
    linked: dict[str, dict[str, str]] = {}
    for file, point in own.items():
        target = folder / "documents" / f"{point}{file.suffix}"
        target = target if not target.exists() else target.with_name(f"{point}-{len(linked[point]) + 1}{file.suffix}")
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, target)
        linked.setdefault(point, {})[target.relative_to(folder).as_posix()] = f"{file.name} (the provider's own)"
    return linked


def _links(folder: Path) -> dict[str, dict[str, str]]:
    """Return the files that are there, with the beginning of their hash, by the points that they belong to."""
    links: dict[str, dict[str, str]] = {}
    for name, points in WHERE.items():
        for file in _files(folder / name):
            address = file.relative_to(folder).as_posix()
            for point in points:
                links.setdefault(point, {})[address] = f"{address} (SHA-256 {file_hash(file)[:12]}…)"
    return links


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
    elif path.exists():
        yield path


def _manifests(made: Mapping[str, Manifest | None], folder: Path) -> None:
    folder.mkdir()
    for job, manifest in made.items():
        if manifest is not None:
            (folder / f"{job}.json").write_bytes(manifest.to_file())


def _report(store: ArtifactStore, made: Manifest | None, target: Path) -> None:
    """Copy a report's files, if they are still there. :raises IntegrityError: if they are not what was recorded."""
    if made is not None and made.result is not None:
        _copied(store, key_below(store, made.result.uri), made.result, target)


def _built(moves: Iterable[LedgerEntry]) -> Reference | None:
    """Return the record of the image that a version was last served from, if the team's CI has built it."""
    images = [move.evidence["image"] for move in moves if isinstance(move.evidence.get("image"), dict)]
    built = images[-1].get("built") if images else None
    return parse_reference(built) if built else None


def _copied(store: ArtifactStore, key: str, result: Reference, target: Path) -> None:
    """Copy a folder's files, if they are still there. :raises IntegrityError: if they are not what was recorded."""
    with tempfile.TemporaryDirectory(prefix="mlops-dossier-") as scratch:
        try:
            folder = store.download(key, Path(scratch))
        except FileNotFoundError:
            return
        if content_hash(folder) != result.hash:
            raise IntegrityError(f"{result.uri} is not what was recorded; no dossier is made of it")
        for file in files_of(folder):
            copy = target / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def _kept(store: ArtifactStore, key: str, target: Path) -> None:
    if store.exists(key):
        store.copy(key, target)
