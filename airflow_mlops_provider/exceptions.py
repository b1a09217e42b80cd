"""Every error this package raises on purpose. ``retryable`` says whether running the task again can help."""

from __future__ import annotations

from collections.abc import Iterable


class MLOpsError(Exception):
    """Base of the errors below. A retry helps unless a subclass says otherwise.

    ``result`` is the URI of the folder in which the failed job's manifest lies, where there is one.
    """

    retryable = True
    result: str | None = None


class PermanentError(MLOpsError):
    """Base of the errors that no retry mends."""

    retryable = False


class UnknownNameError(PermanentError, ValueError):  # a ValueError, so that a declaration with such a name is refused
    """A product, feature, metric, job or model that nobody declared. A retry does not help."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown {what} {name!r}; known: {', '.join(sorted(known)) or 'none'}")


class ConfigurationError(PermanentError):
    """A setting that cannot work. A retry does not help until it is changed."""


class PartError(ConfigurationError, ValueError):  # a ValueError, so that a declaration with such a part is refused
    """A part that can't be loaded, is not what its kind must be, or lacks an option. A retry does not help."""


class MissingExtraError(PermanentError):
    """A library that this step needs is not installed. A retry does not help until it is."""


class SourceError(MLOpsError):
    """A source that is not there yet or cannot be reached. A retry helps once it is."""


class SourceDataError(PermanentError):
    """A source whose data is unusable: corrupt, empty, or without a declared column. A retry does not help."""


class LeakageError(PermanentError):
    """A feature that used what was not known at its time. A retry does not help: change the feature."""


class DataValidationError(PermanentError):
    """Data that broke its expectations; the report is published first. A retry does not help."""


class IntegrityError(PermanentError):
    """Stored bytes are not those that were recorded. A retry does not help: run the producing step again."""


class RootError(PermanentError, OSError):  # an OSError, as which readers of files know it
    """An artifact root refuses to be written or read. A retry does not help before that is mended."""


class RootFullError(RootError):
    """An artifact root, or its quota, has no room left. A retry does not help before some is made."""


class RootClosedError(RootError):
    """An artifact root is read-only, or its user lacks the right. A retry does not help before that is given."""


class SignatureError(IntegrityError):
    """A model is unsigned, or not by the configured key. A retry does not help until it is signed."""


class OtherRegistryError(IntegrityError):
    """MLflow is not the registry in which the ledger's versions were made. No retry helps: point back, or adopt it."""


class ResultError(PermanentError):
    """What code handed back cannot be kept: a metric that is no number, a fact that JSON can't hold. No retry helps."""


class BackendError(MLOpsError):
    """MLflow, Feast, the object store or the model server did not answer. A retry helps once it does."""


class JobError(MLOpsError):
    """A job's own code failed; its manifest holds the traceback. A retry helps only if the cause was outside."""


class JobLostError(MLOpsError):
    """A job ended without a manifest: killed, or out of memory. A retry resumes it."""


class OutOfMemoryError(JobLostError):
    """The kernel killed a job for want of memory. A retry helps with more of it."""


class EvictedError(JobLostError):
    """The cluster took a job's node or room away: evicted, preempted, shut down. A retry resumes it elsewhere."""


class NodeLostError(JobLostError):
    """The node on which a job ran does not answer any more. A retry resumes it elsewhere."""


class JobTimeoutError(JobLostError):
    """A job took longer than it may. A retry resumes it where it keeps checkpoints; else give it more time."""


class JobKilledError(PermanentError):
    """Somebody stopped a job. Nothing is retried; clear the task to go on."""


class UnschedulableError(MLOpsError):
    """No node took a pod within its limit; the message is the scheduler's. A retry helps once there is room."""


class ImagePullError(MLOpsError):
    """A pod's image could not be had. A retry helps only if the registry was the cause, not the name or the rights."""


class PodStartError(MLOpsError):
    """A pod got a node but did not start there: volumes, network, a full node. A retry may find another."""


class PodSpecError(ConfigurationError):
    """A pod that the cluster does not accept, or that names what is not there. A retry does not help."""


class MissingRecordError(PermanentError):
    """No manifest tells how a result was made: it was deleted or replaced. A retry does not help."""


class TransitionError(PermanentError):
    """A model version cannot move that way from where it stands. A retry does not help."""


class ConflictError(MLOpsError):
    """Somebody else moved first. A retry looks again at what now stands."""


class CIRunError(MLOpsError):
    """A run of the team's CI is red, or was cancelled. A retry begins another: it helps if the cause lay outside."""


class DeploymentError(MLOpsError):
    """The model server did not take the version; what served before still serves."""
