"""Folder and bucket keep what every artifact store keeps."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from airflow_mlops_provider.storage.artifacts import ArtifactStore, open_store
from airflow_mlops_provider.testing import ArtifactStoreContract
from tests.factories.bucket import s3_server

_NUMBERS = itertools.count()


class TestFolderStore(ArtifactStoreContract):
    """A folder."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        """A folder whose name a URI quotes."""
        return open_store(str(tmp_path / "100% ü"))


class TestBucketStore(ArtifactStoreContract):
    """A prefix in a bucket, on a real S3 server over HTTP (moto's, in a process of its own)."""

    @pytest.fixture(scope="class")
    def endpoint(self) -> Iterator[dict[str, str]]:
        """A running server, as the environment variables that lead to it."""
        with s3_server() as env:
            yield env

    @pytest.fixture
    def store(self, endpoint: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
        """A prefix in a bucket of its own."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in endpoint.items():
            monkeypatch.setenv(name, value)
        bucket = f"contract-{next(_NUMBERS)}"
        boto3.client("s3").create_bucket(Bucket=bucket)
        return open_store(f"s3://{bucket}/some/where")
