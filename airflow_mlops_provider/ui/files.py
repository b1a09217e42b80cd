"""Which files a browser may be shown: a result's manifest and pages, what a pod left, nothing else below the root."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from fastapi import HTTPException

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.storage.artifacts import MANIFEST, ArtifactStore, FolderStore
from airflow_mlops_provider.storage.layout import ResultKey, is_pod, parse_result
from airflow_mlops_provider.storage.record_files import read_record

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
# No longer than file systems and buckets take; more would be an error of theirs instead of "no such file".
_FILE = re.compile(r"(?:\w[\w.-]{0,200}/){0,3}\w[\w.-]{0,200}", re.ASCII)


@dataclass(frozen=True)
class ResultFile:
    """A file of a result.

    :param result: key of the folder in which the result's manifest lies.
    :param key: the file's own key.
    """

    result: str
    key: str
    media_type: str


def locate(root: str, uri: str, file: str) -> ResultFile:
    """Return the file of a result that a link names; names are matched against what we write, never repaired.

    :param uri: the result's folder, or the one above it that holds the manifest, or that of what a pod left.
    :raises HTTPException: 404 for whatever does not name a result below the root, 415 for other kinds of files.
    """
    begin = f"{root.rstrip('/')}/"
    key = uri[len(begin) :] if uri.startswith(begin) else ""
    result = ResultKey(key, key) if is_pod(key) else parse_result(key)
    if result is None or not _FILE.fullmatch(file):
        raise HTTPException(404, "no such result")
    kind = TYPES.get(PurePosixPath(file).suffix)
    if kind is None:
        raise HTTPException(415, f"only {', '.join(sorted(TYPES))} files are shown")
    where = result.work if file == MANIFEST else result.key
    return ResultFile(result.work, f"{where}/{file}", kind)


def manifest_of(store: ArtifactStore, file: ResultFile) -> Manifest:
    """Return the manifest of a result, which says who may read it. :raises HTTPException: if none can be read."""
    key = f"{file.result}/{MANIFEST}"
    try:
        return read_record(store, key, Manifest)
    except FileNotFoundError:
        raise HTTPException(404, "no such result") from None
    except (OSError, IntegrityError):
        says = f"{key} is no manifest that this release reads: nobody can tell who may read it"
        raise HTTPException(409, says) from None


def read(store: ArtifactStore, file: ResultFile) -> bytes:
    """Return a file's bytes. :raises HTTPException: if there is none, or a link leads out of the artifact root."""
    try:
        if isinstance(store, FolderStore) and not store.path(file.key).resolve().is_relative_to(store.root.resolve()):
            raise HTTPException(404, "no such result")
        return store.read(file.key)
    except (OSError, RuntimeError):  # none there, a folder, a link to itself, one that may not be read
        raise HTTPException(404, "no such result") from None
