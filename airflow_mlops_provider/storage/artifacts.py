"""The artifact root: a folder by default, a bucket by configuration; every write is whole or not there at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, ConflictError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.storage.atomic import TEMPORARY, atomic_create, atomic_write

MANIFEST = "manifest.json"


class FolderStore:
    """An artifact root that is a folder; a :class:`BucketStore` keeps the same promises.

    Keys are relative POSIX paths; ``..`` and absolute ones are refused.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.uri = self.root.as_uri()

    def path(self, key: str) -> Path:
        """Return the file that a key names."""
        return self.root / checked(key)

    def read(self, key: str) -> bytes:
        """Return the bytes under a key. :raises FileNotFoundError: if there are none."""
        try:
            return self.path(key).read_bytes()
        except NotADirectoryError as error:  # a file lies where the key names a folder
            raise FileNotFoundError(error.errno, "nothing lies there", f"{self.uri}/{key}") from None

    def write(self, key: str, data: bytes) -> None:
        """Put bytes under a key, replacing what was there in one step."""
        atomic_write(self.path(key), data)

    def write_new(self, key: str, data: bytes) -> None:
        """Put bytes under a key that is free. :raises ConflictError: if somebody else took it first."""
        try:
            atomic_create(self.path(key), data)
        except FileExistsError:
            raise ConflictError(f"{key} exists already under {self.uri}") from None

    def exists(self, key: str) -> bool:
        """Say whether anything lies under exactly this key."""
        return self.path(key).is_file()

    def list(self, prefix: str) -> list[str]:
        """Return the keys in a folder and below it, sorted; the empty prefix is the root."""
        files = (
            path for path in self.path(prefix).rglob("*") if path.is_file() and not path.name.startswith(TEMPORARY)
        )
        return sorted(path.relative_to(self.root).as_posix() for path in files)

    def upload(self, folder: Path, prefix: str) -> None:
        """Copy every file of a folder below a prefix."""
        for file in files_of(folder):
            self.write(f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    def download(self, prefix: str, folder: Path) -> Path:  # noqa: ARG002  # it lies in a local folder already
        """Make the files below a prefix available in a local folder and return where; it must not be written to."""
        if not self.path(prefix).is_dir():
            raise FileNotFoundError(f"nothing lies under {prefix} in {self.uri}")
        return self.path(prefix)

    def remove(self, prefix: str) -> None:
        """Take away every file below a prefix; that there is none is no error."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path(prefix))


S3 = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "region_name": "AWS_DEFAULT_REGION",
    "endpoint_url": "AWS_ENDPOINT_URL_S3",
}


class BucketStore:
    """An artifact root that is a prefix in an S3 bucket; compare-and-set by conditional writes.

    :param environment: credentials, region and endpoint under the names that boto3 reads; for what is not in it boto3
        looks where it always does, the process's own environment first.
    """

    def __init__(self, uri: str, environment: Mapping[str, str] | None = None) -> None:
        self.uri = uri.rstrip("/")
        self._settings = {
            name: environment[variable] for name, variable in S3.items() if environment and environment.get(variable)
        }
        self.bucket, _, self.prefix = self.uri.removeprefix("s3://").partition("/")

    @cached_property
    def client(self) -> Any:
        """A boto3 S3 client, made at its first use, in a session of its own: the shared one is not for threads."""
        import boto3

        return boto3.session.Session().client("s3", **self._settings)

    def read(self, key: str) -> bytes:
        client = self.client
        try:
            return bytes(client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"].read())
        except client.exceptions.NoSuchKey:
            raise FileNotFoundError(f"{self.uri}/{key}") from None

    def write(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data)

    def write_new(self, key: str, data: bytes) -> None:
        from botocore.exceptions import ClientError

        try:
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] in {"PreconditionFailed", "ConditionalRequestConflict", "412"}:
                raise ConflictError(f"{key} exists already under {self.uri}") from None
            raise

    def exists(self, key: str) -> bool:
        return self.state(key) is not None

    def state(self, key: str) -> tuple[int, float] | None:
        """Return size in bytes and time of writing of the object under a key; None if there is none."""
        from botocore.exceptions import ClientError

        try:
            head = self.client.head_object(Bucket=self.bucket, Key=self._key(key))
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return head["ContentLength"], head["LastModified"].timestamp()

    def list(self, prefix: str) -> list[str]:
        return sorted(self.states(prefix))

    def states(self, prefix: str) -> dict[str, tuple[int, float]]:
        """Return size in bytes and time of writing of each object in a folder and below it, by its key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._folder(prefix))
        cut = len(self.prefix) + 1 if self.prefix else 0
        entries = (entry for page in pages for entry in page.get("Contents", []))
        return {entry["Key"][cut:]: (entry["Size"], entry["LastModified"].timestamp()) for entry in entries}

    def upload(self, folder: Path, prefix: str) -> None:
        client = self.client
        for file in files_of(folder):
            client.upload_file(str(file), self.bucket, self._key(f"{prefix}/{file.relative_to(folder).as_posix()}"))

    def download(self, prefix: str, folder: Path) -> Path:
        client, keys = self.client, self.list(prefix)
        if not keys:
            raise FileNotFoundError(f"nothing lies under {prefix} in {self.uri}")
        for key in keys:
            target = folder / Path(key).relative_to(prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(self.bucket, self._key(key), str(target))
        return folder

    def remove(self, prefix: str) -> None:
        keys = [{"Key": self._key(key)} for key in self.list(prefix)]
        for first in range(0, len(keys), 1000):
            done = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": keys[first : first + 1000]})
            if done.get("Errors"):
                raise BackendError(f"{self.uri}/{prefix} could not be removed: {str(done['Errors'][0])[:300]}")

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{checked(key)}" if self.prefix else checked(key)

    def _folder(self, prefix: str) -> str:
        inside = self._key(prefix).strip("/")
        return f"{inside}/" if inside else ""  # a bucket's own root has no name


ArtifactStore = FolderStore | BucketStore


def open_store(uri: str, environment: Mapping[str, str] | None = None) -> ArtifactStore:
    """Return the store at a root URI: a path, ``file://`` or ``s3://bucket/prefix``.

    :param environment: see :class:`BucketStore`.
    :raises ConfigurationError: for any other scheme.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator and uri:
        return FolderStore(Path(uri))
    if scheme == "file" and rest.startswith("/"):
        return FolderStore(Path(unquote(rest)))
    if scheme == "s3" and rest.partition("/")[0]:
        return BucketStore(uri, environment)
    raise ConfigurationError(f"{uri!r} is no artifact root; give a folder, file:///folder or s3://bucket/prefix")


def checked(key: str) -> str:
    """Return a key that stays below the root. :raises ConfigurationError: for one that would leave it."""
    if key.startswith("/") or ".." in key.split("/"):
        raise ConfigurationError(f"{key!r} leaves the artifact root")
    return key


def files_of(folder: Path) -> Iterator[Path]:
    """Yield a folder's files, sorted by name, but for manifests and what a killed write left behind."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST and not path.name.startswith(TEMPORARY):
            yield path


def file_hash(path: Path) -> str:
    """Return a file's SHA-256, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a folder's files."""
    return digest({path.relative_to(folder).as_posix(): file_hash(path) for path in files_of(folder)})
