"""The manifest: the one record that every job leaves, and from which a task's state is decided."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import AnyReference


class Output(Frozen):
    """One output file: its name below the result URI, SHA-256 and size in bytes."""

    name: str
    sha256: str
    bytes: int


class Commit(Frozen):
    """The product's code in version control; all None where there is none."""

    repository: str | None = None
    commit: str | None = None
    dirty: bool | None = None


class Failure(Frozen):
    """Why a job failed: the error's class, its bounded message, and whether a retry helps."""

    error: str
    message: str
    retryable: bool
    traceback: str = ""


class Manifest(Frozen):
    """What a job did, on success and on failure alike.

    :param result: the reference to hand on; None on failure.
    :param original: the folder with the manifest of the run that made this very result first; None for that run.
    :param reused: that work was found finished, and not done again: result, outputs, metrics and seed are its own.
    :param external: inputs that no job of ours made, by URI, and who handed them on.
    :param stage: the stage of the loop that the job belongs to; empty if it could not even be found.
    :param makes: what the job makes, in a reader's words.
    """

    schema_version: int = 1
    state: Literal["success", "failed"]
    spec: JobSpec
    address: str
    stage: str = ""
    makes: str = ""
    result: AnyReference | None = None
    outputs: tuple[Output, ...] = ()
    metrics: dict[str, float] = {}
    failure: Failure | None = None
    code: Commit = Commit()
    code_hashes: dict[str, str] = {}
    packages: dict[str, str] = {}
    image: str | None = None
    hardware: dict[str, Any] = {}
    seed: int | None = None
    original: str | None = None
    reused: bool = False
    external: dict[str, str] = {}
    started: datetime
    ended: datetime

    @property
    def seconds(self) -> float:
        """How long the job's work took."""
        return (self.ended - self.started).total_seconds()
