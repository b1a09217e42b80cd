"""Manifests in the artifact root: which one tells of a result, and that there is always exactly one to read."""

from __future__ import annotations

import logging
from hashlib import sha256

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.storage.artifacts import MANIFEST, ArtifactStore
from airflow_mlops_provider.storage.layout import replaced_key, reuse_key
from airflow_mlops_provider.storage.record_files import read_kept

log = logging.getLogger("mlops.records")


def read_manifest(store: ArtifactStore, key: str) -> Manifest | None:
    """Return the manifest under a result folder; None if no attempt has ended there, or if it can't be read."""
    return read_kept(store, f"{key}/{MANIFEST}", Manifest)


def manifest_of_run(store: ArtifactStore, key: str, run: RunIdentity) -> Manifest | None:
    """Return the manifest by which a run that has just ended is judged: its own, or that of the work that it found."""
    newest = read_manifest(store, key)
    if newest is None or newest.spec.run == run:
        return newest
    own = read_manifest(store, reuse_key(key, run))
    return own if own is not None and not own.reused else newest


def write_manifest(store: ArtifactStore, key: str, manifest: Manifest) -> Manifest:
    """Keep the manifest of work that was done under its result folder, and return it as it was kept.

    Whoever made a result first stays its maker: the manifest of another task that made the very same later lies below.
    One of another result is kept beside the new one: a corrected delivery leads to the same address and
    other rows, and models were made of the rows before. So is, under another name, what can't be read.
    """
    before = read_manifest(store, key)
    if before is None:
        _set_aside(store, key)
    elif before.result is not None and before.result != manifest.result:
        store.write(replaced_key(key, before.ended), store.read(f"{key}/{MANIFEST}"))
    elif before.result is not None and not manifest.spec.run.same_task(before.spec.run):
        later = manifest.model_copy(update={"original": f"{store.uri}/{key}"})
        store.write(f"{reuse_key(key, manifest.spec.run)}/{MANIFEST}", later.to_file())
        return later
    store.write(f"{key}/{MANIFEST}", manifest.to_file())
    return manifest


def _set_aside(store: ArtifactStore, key: str) -> None:
    """Keep an unreadable manifest under a name that says what it is, so that it blocks nothing and nothing is lost."""
    try:
        data = store.read(f"{key}/{MANIFEST}")
    except FileNotFoundError:
        return
    name = f"{key}/{MANIFEST}.{sha256(data).hexdigest()[:12]}.unreadable"
    store.write(name, data)
    log.warning("%s/%s/%s can't be read; it is kept as %s, and the work is done anew", store.uri, key, MANIFEST, name)
