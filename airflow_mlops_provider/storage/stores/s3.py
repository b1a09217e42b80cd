"""The artifact root as a prefix in an S3 bucket; compare-and-set by conditional writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, ConflictError
from airflow_mlops_provider.storage.refusals import explained
from airflow_mlops_provider.storage.stores.base import ArtifactStore, Mark, checked, files_of

S3 = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "region_name": "AWS_DEFAULT_REGION",
    "endpoint_url": "AWS_ENDPOINT_URL_S3",
}


class BucketStore(ArtifactStore):
    """An artifact root that is a prefix in an S3 bucket; compare-and-set by conditional writes.

    :param environment: credentials, region and endpoint under the names that boto3 reads; for what is not in it boto3
        looks where it always does, the process's own environment first.
    """

    login_variable, password_variable = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"

    def __init__(self, uri: str, environment: Mapping[str, str] | None = None) -> None:
        self.uri = uri.rstrip("/")
        self._settings = {
            name: environment[variable] for name, variable in S3.items() if environment and environment.get(variable)
        }
        self.bucket, _, self.prefix = self.uri.removeprefix("s3://").partition("/")

    @classmethod
    def open(cls, uri: str, environment: Mapping[str, str] | None = None) -> Self:
        if not uri.removeprefix("s3://").partition("/")[0]:
            raise ConfigurationError(f"{uri!r} is no artifact root: it names no bucket; give s3://bucket/prefix")
        return cls(uri, environment)

    @cached_property
    def client(self) -> Any:
        """A boto3 S3 client, made at its first use, in a session of its own: the shared one is not for threads."""
        import boto3

        return boto3.session.Session().client("s3", **self._settings)

    def read(self, key: str) -> bytes:
        client = self.client
        try:
            with explained(f"{self.uri}/{key}"):
                return bytes(client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"].read())
        except client.exceptions.NoSuchKey:
            raise FileNotFoundError(f"{self.uri}/{key}") from None

    def write(self, key: str, data: bytes) -> None:
        with explained(f"{self.uri}/{key}"):
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data)

    def write_new(self, key: str, data: bytes) -> None:
        from botocore.exceptions import ClientError

        try:
            with explained(f"{self.uri}/{key}"):
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
            with explained(f"{self.uri}/{key}"):
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
        return {key: (entry["Size"], entry["LastModified"].timestamp()) for key, entry in self._entries(prefix)}

    def marks(self, prefix: str) -> dict[str, Mark | None]:
        entries = sorted(self._entries(prefix))
        return {key: Mark(entry["LastModified"].timestamp(), entry["ETag"]) for key, entry in entries}

    def _entries(self, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._folder(prefix))
        cut = len(self.prefix) + 1 if self.prefix else 0
        for page in pages:
            yield from ((entry["Key"][cut:], entry) for entry in page.get("Contents", []))

    def upload(self, folder: Path, prefix: str) -> None:
        client = self.client
        for file in files_of(folder):
            key = f"{prefix}/{file.relative_to(folder).as_posix()}"
            with explained(f"{self.uri}/{key}"):
                client.upload_file(str(file), self.bucket, self._key(key))

    def copy(self, key: str, target: Path) -> None:
        from botocore.exceptions import ClientError

        try:
            with explained(f"{self.uri}/{key}"):
                self.client.download_file(self.bucket, self._key(key), str(target))
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                raise FileNotFoundError(f"{self.uri}/{key}") from None
            raise

    def remove(self, prefix: str) -> None:
        keys = [{"Key": self._key(key)} for key in (prefix, *self.list(prefix)) if key]
        for first in range(0, len(keys), 1000):
            done = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": keys[first : first + 1000]})
            if done.get("Errors"):
                raise BackendError(f"{self.uri}/{prefix} could not be removed: {str(done['Errors'][0])[:300]}")

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{checked(key)}" if self.prefix else checked(key)

    def _folder(self, prefix: str) -> str:
        inside = self._key(prefix).strip("/")
        return f"{inside}/" if inside else ""  # a bucket's own root has no name


STORE = BucketStore
