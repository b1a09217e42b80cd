"""The artifact root: a folder by default, a bucket or another's store by configuration; every write is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.extensions import STORES
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.storage.stores.base import MANIFEST as MANIFEST  # noqa: PLC0414  # used with a store
from airflow_mlops_provider.storage.stores.base import SIGNATURE as SIGNATURE  # noqa: PLC0414  # see above
from airflow_mlops_provider.storage.stores.base import ArtifactStore as ArtifactStore  # noqa: PLC0414  # see above
from airflow_mlops_provider.storage.stores.base import checked as checked  # noqa: PLC0414  # see above
from airflow_mlops_provider.storage.stores.base import files_of as files_of  # noqa: PLC0414  # see above
from airflow_mlops_provider.storage.stores.file import FolderStore as FolderStore  # noqa: PLC0414  # see above
from airflow_mlops_provider.storage.stores.s3 import BucketStore as BucketStore  # noqa: PLC0414  # see above


def open_store(uri: str, environment: Mapping[str, str] | None = None) -> ArtifactStore:
    """Return the store at a root URI: a path, ``file://``, ``s3://bucket/prefix`` or, by its scheme, another's.

    :param environment: credentials, where they are not in the process's own environment.
    :raises ConfigurationError: for a URI that can't be a root, or a scheme that nobody knows; it lists the known ones.
    """
    scheme, separator, _ = uri.partition("://")
    name = (scheme if separator else "file") if uri else ""
    if name not in STORES.known():
        others = [f"{other}://…" for other in STORES.known() if other not in STORES.builtin]
        forms = " or ".join(["a folder, file:///folder", "s3://bucket/prefix", *others])
        raise ConfigurationError(f"{uri!r} is no artifact root; give {forms}")
    kind: type[ArtifactStore] = STORES.find(name)
    return kind.open(uri, environment)


def file_hash(path: Path) -> str:
    """Return a file's SHA-256, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a folder's files."""
    return digest({path.relative_to(folder).as_posix(): file_hash(path) for path in files_of(folder)})
