"""Which files a browser may be shown: a result's manifest and its pages, nothing else below the artifact root."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from airflow_mlops_provider.backends.artifacts import MANIFEST, BucketStore, FolderStore
from airflow_mlops_provider.jobs.manifests import read_manifest

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
# As a job's address makes them: product, job, digest, and below that the folder named by its content.
_RESULT = re.compile(r"(?P<result>[a-z][a-z0-9_]{0,62}/[a-z_]+/[0-9a-f]{32})(?:/[0-9a-f]{16})?", re.ASCII)
_FILE = re.compile(r"(?:\w[\w.-]*/)*\w[\w.-]*", re.ASCII)


class NotShownError(Exception):
    """A file that is not there, or not one to show; the HTTP status says which."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class ResultFile:
    """A file of a result.

    :param result: key of the folder in which the result's manifest lies.
    :param key: the file's own key.
    :param media_type: what the browser is told that it is.
    """

    result: str
    key: str
    media_type: str


def locate(root: str, uri: str, file: str) -> ResultFile:
    """Return the file of a result that a link names; names are matched against what we write, never repaired.

    :param root: the artifact root's URI.
    :param uri: the result's folder, or the one above it that holds the manifest.
    :param file: the file's name in it.
    :raises NotShownError: 404 for whatever does not name a result below the root, 415 for other kinds of files.
    """
    begin = f"{root.rstrip('/')}/"
    folder = _RESULT.fullmatch(uri[len(begin) :]) if uri.startswith(begin) else None
    if folder is None or not _FILE.fullmatch(file):
        raise NotShownError(404, "no such result")
    kind = TYPES.get(PurePosixPath(file).suffix)
    if kind is None:
        raise NotShownError(415, f"only {', '.join(sorted(TYPES))} files are shown")
    where = folder["result"] if file == MANIFEST else folder[0]
    return ResultFile(folder["result"], f"{where}/{file}", kind)


def maker(store: FolderStore | BucketStore, file: ResultFile) -> str:
    """Return the id of the DAG that made a file's result, empty if it was made outside Airflow.

    :raises NotShownError: if there is no such result.
    """
    manifest = read_manifest(store, file.result)
    if manifest is None:
        raise NotShownError(404, "no such result")
    return manifest.spec.run.dag_id


def read(store: FolderStore | BucketStore, file: ResultFile) -> bytes:
    """Return a file's bytes. :raises NotShownError: if there is none, or a link leads out of the artifact root."""
    if isinstance(store, FolderStore) and not store.path(file.key).resolve().is_relative_to(store.root.resolve()):
        raise NotShownError(404, "no such result")
    try:
        return store.read(file.key)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise NotShownError(404, "no such result") from None
