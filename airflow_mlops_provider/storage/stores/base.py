"""What an artifact store promises: bytes under keys, each write whole or not there at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.storage.atomic import TEMPORARY

MANIFEST = "manifest.json"
#: A signature of the files around it: it travels with them, and is none of them.
SIGNATURE = "model.sig"


class Mark(NamedTuple):
    """What a store knows of a file without reading it.

    :param written: when, in seconds since 1970. :param state: changes when the bytes do.
    """

    written: float
    state: str


class ArtifactStore(ABC):
    """An artifact root. Keys are relative POSIX paths; ``..`` and absolute ones are refused, by :func:`checked`.

    It is opened often, in tasks and while pages are shown: opening connects to nothing. Several processes use the same
    root at once, and one that is killed leaves no half of a file under any key.

    :ivar uri: the root, without a slash at its end; what lies under a key has the URI ``{uri}/{key}``.
    :cvar login_variable, password_variable: environment variables through which a job gets the connection's user name
        and password.
    :cvar readers: how many files are read at once: by default as many as boto3 keeps connections.
    """

    uri: str
    login_variable: ClassVar[str | None] = None
    password_variable: ClassVar[str | None] = None
    readers: ClassVar[int] = 10

    @classmethod
    @abstractmethod
    def open(cls, uri: str, environment: Mapping[str, str] | None = None) -> Self:
        """Return the store at a root URI.

        :param environment: credentials, where they are not in the process's own environment.
        :raises ConfigurationError: if the URI can't be a root.
        """

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the bytes under a key. :raises FileNotFoundError: if there are none."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Put bytes under a key, replacing what was there in one step."""

    @abstractmethod
    def write_new(self, key: str, data: bytes) -> None:
        """Put bytes under a key that is free. :raises ConflictError: if somebody else took it first."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Say whether anything lies under exactly this key."""

    @abstractmethod
    def list(self, prefix: str) -> list[str]:
        """Return the keys in a folder and below it, sorted; the empty prefix is the root."""

    def marks(self, prefix: str) -> Mapping[str, Mark | None]:
        """Return the keys of :meth:`list`, each with its mark; None where that is not known.

        Whoever reads the same files again and again, as pages do, reads by it those alone that are new or changed.
        """
        return dict.fromkeys(self.list(prefix))

    @abstractmethod
    def remove(self, prefix: str) -> None:
        """Take away the file of that key, or every file below it; that there is none is no error."""

    def upload(self, folder: Path, prefix: str) -> None:
        """Copy every file of a folder below a prefix, but manifests and what a killed write left behind."""
        for file in files_of(folder):
            self.write(f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    def download(self, prefix: str, folder: Path) -> Path:
        """Make the files below a prefix available in a local folder and return where; it must not be written to.

        :param folder: an empty folder that may be used for it.
        :raises FileNotFoundError: if there are none.
        """
        keys = self.list(prefix)
        if not keys:
            raise FileNotFoundError(f"nothing lies under {prefix} in {self.uri}")
        for key in keys:
            target = folder / Path(key).relative_to(prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy(key, target)
        return folder

    def copy(self, key: str, target: Path) -> None:
        """Write the bytes under a key to a local file. :raises FileNotFoundError: if there are none."""
        target.write_bytes(self.read(key))


def checked(key: str) -> str:
    """Return a key that stays below the root. :raises ConfigurationError: for one that would leave it."""
    if key.startswith("/") or ".." in key.split("/"):
        raise ConfigurationError(f"{key!r} leaves the artifact root")
    return key


def files_of(folder: Path) -> Iterator[Path]:
    """Yield a folder's files, sorted by name, but for manifests, their signature, and what a killed write left."""
    for path in sorted(folder.rglob("*")):
        own = path.name != MANIFEST and path != folder / SIGNATURE
        if path.is_file() and own and not path.name.startswith(TEMPORARY):
            yield path
