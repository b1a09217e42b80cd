"""A job whose artifact root is really full, or really read-only: said as that, and done once it is mended."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest

from airflow_mlops_provider.exceptions import MLOpsError, RootClosedError, RootFullError
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.local_process import LocalProcess
from tests.factories.bucket import s3_server
from tests.factories.tiny import TinyWorld

LOG = logging.getLogger("tests.place")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, mounted where a tiny world has its artifact root."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"only root may mount a file system here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def refused(spec: JobSpec, kind: type[MLOpsError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        LocalProcess().run(spec, {}, LOG)
    assert "resume" not in str(caught.value)
    assert caught.value.retryable is False


def test_a_full_root_is_said_and_made_room_in(mounted: Path, tmp_path: Path) -> None:
    """Neither result nor manifest has room: the error names the root and what helps; with room the job is done."""
    world = TinyWorld(tmp_path)
    spec = world.cleaning()
    filling = mounted / "filling"
    with suppress(OSError), filling.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    refused(spec, RootFullError, rf"job 'clean' ended with status 74 .*{mounted} is full: make room there")
    filling.unlink()
    assert LocalProcess().run(spec, {}, LOG).state == "success"
    world.close()


def test_a_read_only_root_is_said(mounted: Path, tmp_path: Path) -> None:
    """Mounted read-only, the same words with what helps then."""
    world = TinyWorld(tmp_path)
    spec = world.cleaning()
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    refused(
        spec, RootClosedError, rf"job 'clean' ended with status 77 .*{mounted} may not be used: .*mount it writable"
    )
    world.close()


def test_a_bucket_that_denies_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that forbids writing ends the job with the same words, by what S3 answers."""
    with s3_server() as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="results")
        world = TinyWorld(tmp_path)
        root = {"root": "s3://results/prod"}
        denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::results/*"}
        s3.put_bucket_policy(Bucket="results", Policy=json.dumps({"Version": "2012-10-17", "Statement": [denied]}))
        refused(
            world.spec("extract", **root),
            RootClosedError,
            "s3://results/prod may not be used: give this user the right",
        )
        world.close()
