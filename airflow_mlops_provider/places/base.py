"""What a place promises, and the one decision from exit status and manifest to a result."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops_provider import exceptions
from airflow_mlops_provider.exceptions import JobError, JobLostError, MLOpsError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.layout import result_key, reuse_key

if TYPE_CHECKING:
    from airflow.sdk import Context


class Place(Protocol):
    """Somewhere a job can run."""

    def run(
        self,
        spec: JobSpec,
        secrets: Mapping[str, str],
        log: Any,
        context: Context | None = None,
        event: dict[str, Any] | None = None,
    ) -> Manifest:
        """Run a job to its end and return its successful manifest.

        :param secrets: environment variables for the job alone; never written anywhere.
        :param log: receives the job's lines as they come.
        :param context: Airflow's, for a place that waits elsewhere or remembers something for the next try.
        :param event: what it waited for elsewhere has brought.
        :raises Elsewhere: if the job goes on without this process, which is then to ask again.
        :raises MLOpsError: the job's own error, or :class:`JobLostError` if it ended without telling.
        """

    def stop(self) -> None:
        """End a running job at once, with everything that it started."""


def decide(spec: JobSpec, status: int, manifest: Manifest | None) -> Manifest:
    """Return the manifest of a job that succeeded, or raise what went wrong.

    ============  ==============================  ==========================================
    exit status   manifest                        answer
    ============  ==============================  ==========================================
    0             success                         the manifest, also when finished work was reused
    0             none or failed                  :class:`JobLostError`
    not 0         failed, by this very attempt    the error that it names
    not 0         any other                       :class:`JobLostError`
    ============  ==============================  ==========================================
    """
    if status == 0 and manifest is not None and manifest.state == "success":
        return manifest
    if status != 0 and manifest is not None and manifest.state == "failed" and manifest.spec.run == spec.run:
        error = error_of(manifest)
        error.result = result_of(manifest)
        raise error
    how = f"was killed by {_signal(-status)}" if status < 0 else f"ended with status {status}"
    raise JobLostError(f"job {spec.job!r} {how} and left no manifest of this attempt; a retry resumes it")


def _signal(number: int) -> str:
    if number == signal.SIGKILL:
        return "SIGKILL (out of memory, or by hand)"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def result_of(manifest: Manifest) -> str:
    """Return the URI of the folder in which a manifest lies."""
    return f"{open_store(manifest.spec.root).uri}/{result_key(manifest.spec, manifest.address)}"


def record_of(manifest: Manifest, run: RunIdentity) -> str:
    """Return the URI of the folder with a task's own manifest: its work's, or the one that points to it."""
    if manifest.spec.run.same_task(run) and manifest.original is None:
        return result_of(manifest)
    return f"{open_store(manifest.spec.root).uri}/{reuse_key(result_key(manifest.spec, manifest.address), run)}"


def error_of(manifest: Manifest) -> MLOpsError:
    """Return the error that a failed manifest tells of, as one of our own exceptions."""
    failure = manifest.failure
    if failure is None:
        return JobError(f"job {manifest.spec.job!r} failed and its manifest does not say why")
    known = getattr(exceptions, failure.error, None)
    if isinstance(known, type) and issubclass(known, MLOpsError):
        error = known.__new__(known)  # its constructor may take parts that the message has been made of
        Exception.__init__(error, failure.message)
        return error
    error = JobError(f"{failure.error}: {failure.message}\n{failure.traceback}")
    error.retryable = failure.retryable
    return error
