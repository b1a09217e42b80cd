"""What a place promises, for your own to inherit, and the one decision from exit status and manifest to a result."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from airflow.sdk import Context

from airflow_mlops_provider import exceptions
from airflow_mlops_provider.exceptions import JobError, JobLostError, MLOpsError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.layout import result_key, reuse_key
from airflow_mlops_provider.storage.refusals import unkept

#: Returns a task instance's state as Airflow names it: None if it has none yet, :data:`GONE` if there is none.
StateOf = Callable[[RunIdentity], str | None]
GONE = "gone"


class Log(Protocol):
    """What receives a job's lines: a task's logger, or Python's."""

    def info(self, message: str, /, *args: object) -> object: ...
    def warning(self, message: str, /, *args: object) -> object: ...
    def error(self, message: str, /, *args: object) -> object: ...


class Place(ABC):
    """Somewhere a job can run: the same command (``python -m airflow_mlops_provider.runtime``) in its own surroundings.

    A place is made when a DAG is parsed, so its constructor opens nothing. Settings that it cannot honour it refuses
    there with a :class:`ValueError`, and a job that it cannot run it refuses in :meth:`run`, before anything starts;
    it never ignores one. One instance runs one job at a time.
    """

    @abstractmethod
    def run(
        self,
        spec: JobSpec,
        secrets: Mapping[str, str],
        log: Log,
        context: Context | None = None,
        event: dict[str, Any] | None = None,
    ) -> Manifest:
        """Run a job to its end and return its successful manifest: that of this run, or of finished work it repeats.

        :param spec: says all that the job needs to know, but for credentials.
        :param secrets: environment variables for the job alone, by name; never written anywhere.
        :param log: receives the job's lines as they come.
        :param context: Airflow's, for a place that defers or remembers something for the next try; None outside a task.
        :param event: the payload of the trigger's event after a deferral; :data:`.STAY` if the trigger has failed, so
            that the place must wait in this process.
        :raises Deferred: if the job goes on without this process; a trigger fires when :meth:`run` is to be called
            again, in a new process, with the same specification and an event.
        :raises ConfigurationError: if the place cannot honour what the job needs.
        :raises MLOpsError: the job's own error with the URI of its manifest in ``result``, or :class:`JobLostError` if
            it ended without a manifest of this attempt. Whether a retry helps, its ``retryable`` says.
        """

    @abstractmethod
    def stop(self) -> None:
        """End a running job at once, with everything that it started. Called from another thread or a signal handler;
        does nothing if no job runs.
        """

    def probe(self) -> str:
        """Say in a few words where jobs run; a place on another machine tries it once, quickly.

        :raises MLOpsError: if no job could run there.
        """
        return "jobs run on this machine"

    @property
    def log_file(self) -> str | None:
        """URI of the file with the last job's whole log; None where the place keeps none but the task's own."""
        return None

    def remove_orphans(self, state_of: StateOf, log: Log, keep_hours: float) -> list[str]:
        """Remove what is left here of this Airflow's task instances that are finished or gone, and return the names.

        By default there is nothing: a place whose jobs end with their task leaves no orphans.

        :param keep_hours: for how long what the place keeps for a look at it stays after its task instance's end.
        :raises AirflowSkipException: if it cannot be known what is this Airflow's, with the reason.
        :raises MLOpsError: if something could not be removed, after all else was.
        """
        return []


def decide(spec: JobSpec, status: int, manifest: Manifest | None) -> Manifest:
    """Return the manifest of a job that succeeded, or raise what went wrong.

    ============  ==============================  ==========================================
    exit status   manifest                        answer
    ============  ==============================  ==========================================
    0             success                         the manifest, also when finished work was reused
    0             none or failed                  :class:`JobLostError`
    not 0         failed, by this very attempt    the error that it names
    not 0         any other                       :class:`JobLostError`, or :class:`RootError` if it says that
    ============  ==============================  ==========================================
    """
    if status == 0 and manifest is not None and manifest.state == "success":
        return manifest
    if status != 0 and manifest is not None and manifest.state == "failed" and manifest.spec.run == spec.run:
        error = error_of(manifest)
        error.result = result_of(manifest)
        raise error
    how = f"was killed by {signal_name(-status)}" if status < 0 else f"ended with status {status}"
    if refused := unkept(status, f"job {spec.job!r} {how}", spec.root):
        raise refused
    raise JobLostError(f"job {spec.job!r} {how} and left no manifest of this attempt; a retry resumes it")


def signal_name(number: int) -> str:
    """Return a signal's name as messages give it."""
    if number == signal.SIGKILL:
        return "SIGKILL, which does not say why: out of memory, or by hand"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def result_of(manifest: Manifest) -> str:
    """Return the URI of the folder in which a manifest lies."""
    return f"{open_store(manifest.spec.root).uri}/{result_key(manifest.spec, manifest.address)}"


def record_of(manifest: Manifest, run: RunIdentity) -> str:
    """Return the URI of the folder with a task's own manifest: that of its work, or the one that points to it."""
    if manifest.spec.run.same_task(run) and manifest.original is None:
        return result_of(manifest)
    return f"{open_store(manifest.spec.root).uri}/{reuse_key(result_key(manifest.spec, manifest.address), run)}"


def error_of(manifest: Manifest) -> MLOpsError:
    """Return the error that a failed manifest names, as one of our own exceptions."""
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
