"""Which failures are worth another try, and when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import Context, RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import (
    BackendError,
    EvictedError,
    ImagePullError,
    MLOpsError,
    NodeLostError,
    OutOfMemoryError,
    PodStartError,
    UnschedulableError,
)

#: Errors that pass with time: a node comes back, room is made, a server answers again.
TRANSIENT = (BackendError, EvictedError, ImagePullError, NodeLostError, PodStartError, UnschedulableError)
LONGEST_DELAY = timedelta(minutes=30)


@contextmanager
def final_failures() -> Iterator[None]:
    """Turn an error that no retry mends into one that Airflow does not retry, also without the policy below."""
    try:
        yield
    except (ImportError, MLOpsError) as error:
        meant = missing_extra(error) or error
        if not isinstance(meant, MLOpsError) or meant.retryable:
            raise
        raise AirflowFailException(f"{type(meant).__name__}: {meant}") from None


class JobRetryPolicy(RetryPolicy):
    """Decides by the error whether a task is tried again; at most as often as its ``retries`` say.

    ====================================================  ==========================================================
    error                                                 answer
    ====================================================  ==========================================================
    no retry helps: wrong code, data or settings          failed at once
    :class:`OutOfMemoryError`                             at once, with the memory that its place gives the next try
    the cluster or a server (see :data:`TRANSIENT`)         after ``delay``, twice as long each time, up to half an hour
    any other                                             as Airflow does without a policy
    ====================================================  ==========================================================

    :param delay: before the first new try.
    """

    def __init__(self, delay: timedelta = timedelta(seconds=30)) -> None:
        self.delay = delay

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        name = type(exception).__name__
        if extra := missing_extra(exception):
            return RetryDecision.fail(f"{type(extra).__name__}: {extra}")
        if not isinstance(exception, MLOpsError):
            return RetryDecision.default()
        if not exception.retryable:
            return RetryDecision.fail(f"{name}: a retry does not help")
        if isinstance(exception, OutOfMemoryError):
            return RetryDecision.retry(timedelta(0), f"{name}: tried again with more memory")
        if isinstance(exception, TRANSIENT):
            delay = min(LONGEST_DELAY, self.delay * 2 ** min(try_number - 1, 16))
            return RetryDecision.retry(delay, f"{name}: tried again in {delay.total_seconds():.0f} s")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        return {"__type": f"{type(self).__module__}.{type(self).__name__}", "delay": self.delay.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> JobRetryPolicy:
        return cls(timedelta(seconds=data["delay"]))
