"""The artifact root as a folder, which its writers and readers share."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError
from airflow_mlops_provider.storage.atomic import TEMPORARY, atomic_create, atomic_write
from airflow_mlops_provider.storage.refusals import explained
from airflow_mlops_provider.storage.stores.base import ArtifactStore, Mark, checked


class FolderStore(ArtifactStore):
    """An artifact root that is a folder."""

    readers = 1  # a thread for each would take longer than the file

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.uri = self.root.as_uri()

    @classmethod
    def open(cls, uri: str, environment: Mapping[str, str] | None = None) -> Self:  # noqa: ARG003  # it needs none
        scheme, separator, rest = uri.partition("://")
        if separator and not (scheme == "file" and rest.startswith("/")):
            raise ConfigurationError(f"{uri!r} is no artifact root; give a folder, or file:///folder")
        return cls(Path(unquote(rest)) if separator else Path(uri))

    def path(self, key: str) -> Path:
        """Return the file that a key names."""
        return self.root / checked(key)

    def read(self, key: str) -> bytes:
        try:
            with explained(f"{self.uri}/{key}"):
                return self.path(key).read_bytes()
        except NotADirectoryError as error:  # a file lies where the key names a folder
            raise FileNotFoundError(error.errno, "nothing lies there", f"{self.uri}/{key}") from None

    def write(self, key: str, data: bytes) -> None:
        with explained(f"{self.uri}/{key}"):
            atomic_write(self.path(key), data)

    def write_new(self, key: str, data: bytes) -> None:
        try:
            with explained(f"{self.uri}/{key}"):
                atomic_create(self.path(key), data)
        except FileExistsError:
            raise ConflictError(f"{key} exists already under {self.uri}") from None

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def list(self, prefix: str) -> list[str]:
        return sorted(key for key, _ in self._files(prefix))

    def marks(self, prefix: str) -> dict[str, Mark | None]:
        files = sorted(self._files(prefix))
        return {key: Mark(of.st_mtime, f"{of.st_ino}-{of.st_size}-{of.st_mtime_ns}") for key, of in files}

    def _files(self, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        # Without an object for each: a product leaves thousands a year.
        cut = len(f"{self.root}".rstrip("/")) + 1
        for folder, _, names in os.walk(self.path(prefix)):
            for path in (f"{folder}/{name}" for name in names if not name.startswith(TEMPORARY)):
                try:
                    state = os.stat(path)  # noqa: PTH116
                except OSError as error:
                    if error.errno in (
                        errno.ENOENT,
                        errno.ENOTDIR,
                        errno.ELOOP,
                    ):  # gone meanwhile, or a link to nothing
                        continue
                    raise
                if stat.S_ISREG(state.st_mode):
                    yield path[cut:], state

    def download(self, prefix: str, folder: Path) -> Path:  # noqa: ARG002  # it lies in a local folder already
        if not self.path(prefix).is_dir():
            raise FileNotFoundError(f"nothing lies under {prefix} in {self.uri}")
        return self.path(prefix)

    def remove(self, prefix: str) -> None:
        path = self.path(prefix)
        with suppress(FileNotFoundError), explained(f"{self.uri}/{prefix}"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


STORE = FolderStore
