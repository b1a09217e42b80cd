"""What it means that an artifact root takes no more: decided once, for folders, buckets, and who waits for a job."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_mlops_provider.exceptions import RootClosedError, RootError, RootFullError

#: The kernel's numbers and S3's words for it.
_KINDS: dict[int | str, type[RootError]] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), RootFullError),
    **dict.fromkeys(("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"), RootFullError),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), RootClosedError),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "403"), RootClosedError),
}
_ADVICE = {
    RootFullError: "is full: make room there, or raise the quota, and clear the task",
    RootClosedError: "may not be used: give this user the right, or mount it writable, and clear the task",
}
#: How a job's process ends that could leave no manifest, by why.
STATUSES: dict[int, type[RootError]] = {74: RootFullError, 77: RootClosedError}


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Raise what was refused as an error that names the place and what helps.

    :raises RootError: for want of room or right; whatever else is raised passes.
    """
    try:
        yield
    except Exception as error:
        kind = None if isinstance(error, RootError) else _kind(error)
        if kind is None:
            raise
        raise kind(f"{place} {_ADVICE[kind]} ({error})") from error


def exit_status(error: RootError) -> int:
    """Return with which status a job's process ends that could leave no manifest."""
    return next(status for status, kind in STATUSES.items() if isinstance(error, kind))


def unkept(status: int | None, what: str, root: str) -> RootError | None:
    """Return the error of a job that ended with such a status; None for any other."""
    kind = STATUSES.get(status or 0)
    return kind(f"{what} and could leave no manifest: {root} {_ADVICE[kind]}; the log says where") if kind else None


def _kind(error: BaseException | None) -> type[RootError] | None:
    """Return what an error means, or what one means that it came of: boto3 wraps that of an upload."""
    while error is not None:
        answer = getattr(error, "response", {})  # of S3, by boto3
        code = error.errno if isinstance(error, OSError) else answer.get("Error", {}).get("Code")
        if kind := _KINDS.get(code or 0):
            return kind
        error = error.__cause__ or error.__context__
    return None
