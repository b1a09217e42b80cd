"""Where things lie below the artifact root: the one place that makes keys and reads them.

A job's files are in ``<product>/<job>/<32 digits of its address>``: its manifest, below that a folder named by its
content with the result, and one for each run that found the work finished. Beside the jobs' folders a product has those
of ``Folder``; all products' declarations lie in one, and so do the images that were built.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal, NamedTuple

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.storage.artifacts import MANIFEST, ArtifactStore, checked

#: A product's name, and a job's.
NAME = "[a-z][a-z0-9_]{0,62}"
DECLARATIONS, BUILDS = "_products", "_builds"  # no product's name begins with an underscore
Folder = Literal[
    "current", "external", "feedback", "forgotten", "images", "judged", "ledger", "lists", "pods", "repairs",
    "searches", "serving"
]  # fmt: skip
Record = Literal["newest", "replaced", "reused"]
_WORK = f"{NAME}/{NAME}/[0-9a-f]{{32}}"
_RESULT = re.compile(rf"(?<![^/])({_WORK})(?:/[0-9a-f]{{16}})?\Z", re.ASCII)
_FILE = re.compile(f"(.*{_WORK})/[0-9a-f]{{16}}/", re.ASCII)
_POD = re.compile(rf"{NAME}/pods/[a-z0-9](?:[a-z0-9-]{{0,251}}[a-z0-9])?", re.ASCII)
_RECORD = re.compile(
    rf"{_WORK}/(?:(?P<newest>manifest)|(?P<replaced>\d{{8}}T\d{{12}}Z)|reused/[0-9a-f]{{16}}/(?P<reused>manifest))\.json",
    re.ASCII,
)


class ResultKey(NamedTuple):
    """A result's own folder, and the folder of the work that made it, in which the manifest lies."""

    key: str
    work: str


def result_key(spec: JobSpec, where: str) -> str:
    """Return the folder of a job's work. :raises ConfigurationError: for a name that is no folder's."""
    for name in (spec.product, spec.name):
        if not re.fullmatch(NAME, name, re.ASCII):
            raise ConfigurationError(f"{name!r} is no name for a folder: lower-case letters, digits and _, at most 63")
    return f"{spec.product}/{spec.name}/{where[:32]}"


def content_key(work: str, content: str) -> str:
    """Return the folder of a result, for the hash of its files."""
    return f"{work}/{content[:16]}"


def reuse_key(work: str, run: RunIdentity) -> str:
    """Return the folder of the manifest of a run that found the work finished."""
    return f"{work}/reused/{digest(run.to_json())[:16]}"


def replaced_key(work: str, ended: datetime) -> str:
    """Return where a manifest is kept once a later one tells of another result."""
    return f"{work}/{ended:%Y%m%dT%H%M%S%f}Z.json"


def product_key(product: str, folder: Folder, *names: str) -> str:
    """Return a key of what is kept of a product beside its jobs' results."""
    return "/".join((product, folder, *names))


def declaration_key(product: str) -> str:
    """Return where a product's declaration lies."""
    return f"{DECLARATIONS}/{product}.json"


def build_key(content: str) -> str:
    """Return the folder of what is known of an image that was built, by the hash of its files."""
    return f"{BUILDS}/{content[:32]}"


def image_key(spec: JobSpec, image: str) -> str:
    """Return the folder of the last manifest that a job of this kind left in an image, by the image's digest."""
    return product_key(spec.product, "images", digest(image)[:32], spec.job)


def find_result(uri: str) -> ResultKey | None:
    """Return what result, or work, a URI names below any root, wherever that has been moved to; None if none."""
    match = _RESULT.search(uri.rstrip("/"))
    return ResultKey(match[0], match[1]) if match else None


def parse_result(key: str) -> ResultKey | None:
    """Return the same for a key, which must be exactly that."""
    result = find_result(key)
    return result if result and result.key == key else None


def is_pod(key: str) -> bool:
    """Say whether a key is the folder in which a pod left its copy of the manifest, beside its log."""
    return _POD.fullmatch(key) is not None


def record_kind(key: str) -> Record | None:
    """Return which manifest of its work a file is; None if it is none."""
    match = _RECORD.fullmatch(key)
    return match.lastgroup if match else None  # type: ignore[return-value]  # the pattern's groups are named so


def manifest_beside(file: str) -> str | None:
    """Return the URI of the manifest that tells of a result's file; None if the file is of no result."""
    match = _FILE.match(file)
    return f"{match[1]}/{MANIFEST}" if match else None


def key_in(uri: str) -> str:
    """Return where a result lies below its root, wherever that has been moved to; of any other URI its last parts."""
    result = find_result(uri)
    return result.key if result else "/".join(uri.rstrip("/").split("/")[-4:])


def key_below(store: ArtifactStore, uri: str) -> str:
    """Return the key of what a URI names below a root, or named before that root was moved or copied as a whole.

    :raises ConfigurationError: if it lies outside.
    """
    inside = uri.removeprefix(f"{store.uri}/") if uri.startswith(f"{store.uri}/") else None
    result = find_result(uri)
    key = inside if inside is not None else result and result.key
    if not key:
        raise ConfigurationError(f"{uri[:300]} lies outside the artifact root {store.uri}")
    return checked(key)
