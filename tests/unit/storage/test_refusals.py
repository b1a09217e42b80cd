"""A root that refuses is one error, whatever said so; what else goes wrong stays what it is."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from airflow_mlops_provider.exceptions import ConflictError, RootClosedError, RootError, RootFullError
from airflow_mlops_provider.storage.locks import file_lock
from airflow_mlops_provider.storage.refusals import STATUSES, exit_status, explained, unkept
from airflow_mlops_provider.storage.stores.file import FolderStore


def of_s3(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutObject")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *((OSError(number, "no", "/x"), RootFullError) for number in (errno.ENOSPC, errno.EDQUOT)),
        *((OSError(number, "no", "/x"), RootClosedError) for number in (errno.EROFS, errno.EACCES, errno.EPERM)),
        *((of_s3(code), RootClosedError) for code in ("AccessDenied", "403")),
        *((of_s3(code), RootFullError) for code in ("QuotaExceeded", "XMinioStorageFull")),
    ],
    ids=repr,
)
def test_a_refusal_says_what_helps(error: Exception, kind: type[RootError]) -> None:
    """It names the place and the cause, and no retry helps; a reader of files knows it as an OSError."""
    with pytest.raises(kind, match=r"^s3://b/k .*clear the task \(.*no") as caught, explained("s3://b/k"):
        raise error
    assert caught.value.retryable is False
    assert isinstance(caught.value, OSError)


def test_an_upload_by_boto3_is_looked_into() -> None:
    """Its own error holds the reason only as what it came of."""
    wrapped = S3UploadFailedError("Failed to upload")
    wrapped.__context__ = of_s3("AccessDenied")
    with pytest.raises(RootClosedError), explained("s3://b/k"):
        raise wrapped


@pytest.mark.parametrize("error", [FileNotFoundError(2, "none"), ConflictError("x"), of_s3("NoSuchKey"), KeyError("x")])
def test_other_errors_pass(error: Exception) -> None:
    """What a retry, or another reader, knows how to take is not touched."""
    with pytest.raises(type(error)) as caught, explained("s3://b/k"):
        raise error
    assert caught.value is error


def test_every_way_into_a_folder_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under any write, and a lock that may not be made, name the file."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = FolderStore(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    for write in (store.write, store.write_new):
        with pytest.raises(RootFullError, match=rf"{store.uri}/a/b is full: make room"):
            write("a/b", b"x")
    assert store.list("") == []
    monkeypatch.setattr(Path, "open", lambda *_: denied())
    with (
        pytest.raises(RootClosedError, match="lock may not be used: give this user the right"),
        file_lock(tmp_path / "lock"),
    ):
        pass


def denied() -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_a_status_carries_the_reason(status: int, kind: type[RootError]) -> None:
    """What a job that left no manifest ends with is read by its place; any other status is none of it."""
    assert exit_status(kind("x")) == status
    told = unkept(status, "job 'clean' ended", "file:///root")
    assert type(told) is kind
    assert str(told).startswith("job 'clean' ended and could leave no manifest: file:///root ")
    assert [unkept(other, "x", "y") for other in (None, 0, 1, 2, 3, 137)] == [None] * 6
