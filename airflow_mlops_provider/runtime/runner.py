"""Runs one job: finds finished work, does the rest, and leaves exactly one manifest, come what may."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.manifest import Commit, Manifest, Output
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.lifecycle.references import Dataset, DatasetList, ModelVersion, Reference, Report, list_hash
from airflow_mlops_provider.runtime import code
from airflow_mlops_provider.runtime.address import Fingerprint, fingerprint, fingerprint_beside
from airflow_mlops_provider.runtime.checkpoints import Checkpoints
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import AnyJob, find_job
from airflow_mlops_provider.runtime.failures import describe, failed
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.storage.artifacts import (
    MANIFEST,
    ArtifactStore,
    content_hash,
    file_hash,
    open_store,
)
from airflow_mlops_provider.storage.intervals import publish
from airflow_mlops_provider.storage.layout import content_key, result_key, reuse_key
from airflow_mlops_provider.storage.manifests import read_manifest, write_manifest
from airflow_mlops_provider.storage.stores.base import files_of

log = logging.getLogger("mlops.runner")
IMAGE_VARIABLE = "MLOPS_IMAGE_DIGEST"


def run(spec: JobSpec) -> Manifest:
    """Run a job, or find that it was run already, and return its manifest.

    The manifest is also written under the job's address; a failed one is replaced by the next attempt. Of finished
    work the one manifest stays, and that of a run which finds it lies below, and points to it.
    """
    began = datetime.now(UTC)
    try:
        attempt = _begin(spec)
        assert attempt is not None  # here everything can be looked at
        finished = attempt.finished()
    except Exception as error:  # whatever keeps a job from its work, its manifest must tell of it
        log.exception("%s could not begin", spec.job)
        return _refused(spec, error, began)
    return finished or attempt.done()


def look(
    spec: JobSpec, environment: Mapping[str, str] | None = None, beside: Manifest | None = None
) -> tuple[Manifest | None, str]:
    """Return the manifest of finished work, current again by then, and the result folder below the artifact root.

    The manifest is None if there is work to do; in that folder it will lie. A place looks ahead: for what is done it
    need not start anything.

    :param environment: credentials of the artifact root, where they are not in the process's own environment.
    :param beside: what an earlier job of this kind left where this one would run, if that is not here.
    """
    began = datetime.now(UTC)
    try:
        attempt = _begin(spec, environment, beside)
        return (attempt.finished(), attempt.key) if attempt else (None, "")
    except Exception as error:
        with suppress(Exception):  # the error counts, not that it could not be told
            manifest = _refused(spec, error, began, environment)
            if isinstance(error, MLOpsError):
                error.result = f"{open_store(spec.root).uri}/{result_key(manifest.spec, manifest.address)}"
        raise


def _begin(
    spec: JobSpec, environment: Mapping[str, str] | None = None, beside: Manifest | None = None
) -> _Attempt | None:
    """Return an attempt on inputs that are what they claim to be; None if that, or its address, is not known here.

    What would have to be brought here from a bucket is not looked at ahead of a pod: its job looks at it, by the same
    rules, before it takes any finished work for its own.
    """
    job = find_job(spec.job)
    inputs = Inputs(open_store(spec.root, environment))
    checked = inputs.resolved(spec, job.inputs.takes, download=beside is None)
    if checked is None:
        return None
    # The code is fingerprinted before the work: an edit meanwhile must not end up in its manifest.
    known = fingerprint_beside(checked, beside) if beside else fingerprint(checked)
    if known is None:
        return None
    return _Attempt(_as_given(spec, checked), checked, job, inputs, known, known.address(checked), datetime.now(UTC))


def _as_given(spec: JobSpec, checked: JobSpec) -> JobSpec:
    """Return a checked specification as it is kept: a list of datasets stays one reference, if it was what it said."""
    lists = {
        role: given
        for role, given in spec.inputs.items()
        if isinstance(given, DatasetList) and given.hash == list_hash(checked.inputs[role])  # type: ignore[arg-type]
    }
    return checked.model_copy(update={"inputs": {**checked.inputs, **lists}})


def _refused(
    spec: JobSpec, error: Exception, began: datetime, environment: Mapping[str, str] | None = None
) -> Manifest:
    """Keep, and return, the manifest of a job that could not begin: at an address of its specification, word for word.

    The job's own address would follow from claims that may be false, and finished work may lie there.
    """
    where = digest([spec.model_copy(update={"run": RunIdentity()}).to_json()])
    try:
        return write_manifest(
            open_store(spec.root, environment), result_key(spec, where), failed(spec, where, error, began)
        )
    except Exception:
        log.exception("nor could that be told")
        raise error from None


@dataclass
class _Attempt:
    """One try at a job, from its start to the manifest that tells of it."""

    spec: JobSpec
    checked: JobSpec
    job: AnyJob
    inputs: Inputs
    known: Fingerprint
    address: str
    started: datetime

    @property
    def store(self) -> ArtifactStore:
        return self.inputs.store

    @property
    def key(self) -> str:
        return result_key(self.spec, self.address)

    def finished(self) -> Manifest | None:
        """Return the manifest of finished work, and leave one of this run that points to it; None if there is none.

        :raises IntegrityError: if an input is not what it claims to be: what was made of the true one is no answer.
        """
        done = None if self.spec.force or self.job.side_effects else read_manifest(self.store, self.key)
        if done is None or done.state != "success" or done.address != self.address:
            return None
        self.inputs.check(self.checked)
        when, by = f"{done.ended:%F %T}Z", done.spec.run
        log.info("reusing finished work of %s, made %s by %s %s", self.spec.job, when, by.dag_id, by.run_id)
        kept = {name: getattr(done, name) for name in ("state", "result", "outputs", "metrics", "seed", "makes")}
        pointing = self._manifest(**kept, original=f"{self.store.uri}/{self.key}", reused=True)
        self.store.write(f"{reuse_key(self.key, self.spec.run)}/{MANIFEST}", pointing.to_file())
        self._settle(done)
        return done

    def done(self) -> Manifest:
        """Do the work, and return the manifest that it leaves."""
        manifest = write_manifest(self.store, self.key, self._outcome())
        self._settle(manifest)
        return manifest

    def _settle(self, manifest: Manifest) -> None:
        if manifest.state == "success":
            Checkpoints(self.store, self.key).clear()
        if self.job.publishes and isinstance(manifest.result, Dataset):
            publish(self.store, self.spec.product, self.job.publishes, manifest.result)

    def _outcome(self) -> Manifest:
        with tempfile.TemporaryDirectory(prefix=f"mlops-{self.spec.job}-", ignore_cleanup_errors=True) as folder:
            try:
                return self._manifest(**self._work(Path(folder)))
            except KeyboardInterrupt:
                raise  # whoever stops a job knows
            except BaseException as error:  # whatever a user's code raises, the manifest must tell of it
                log.exception("%s failed", self.spec.job)
                return self._failed(missing_extra(error, self.spec.requires) or error)

    def _failed(self, error: BaseException) -> Manifest:
        """Return the manifest of a failure; if that can't be told in full, the least that can."""
        try:
            return self._manifest(state="failed", failure=describe(error))
        except Exception:
            log.exception("nor could that be told in full")
            return failed(self.spec, self.address, error, self.started)

    def _work(self, folder: Path) -> dict[str, Any]:
        self.inputs.check(self.checked)
        takes = self.job.read(self.checked)
        made = self.job.function(JobContext(self.spec, folder, takes, self.inputs, self.address))
        content = content_hash(folder)
        data_key = content_key(self.key, content)
        self.store.upload(folder, data_key)
        outputs = tuple(
            Output(name=file.relative_to(folder).as_posix(), sha256=file_hash(file), bytes=file.stat().st_size)
            for file in files_of(folder)
        )
        return {
            "state": "success",
            "result": self._reference(made, f"{self.store.uri}/{data_key}", content),
            "outputs": outputs,
            "metrics": made.metrics,
            "seed": made.seed,
            "makes": made.makes or self.job.makes,
        }

    def _commit(self) -> Commit:
        """Return the commit of the users' code or, for a job without any, that of the product's package."""
        modules = (*(name.partition(":")[0] for name in self.job.code(self.checked).values()), self.spec.product)
        for module in modules:
            with suppress(ConfigurationError):
                return code.commit_of(module)
        return Commit()

    def _reference(self, made: JobResult, uri: str, content: str) -> Reference:
        if made.of is not None:
            uri, content = made.of.uri, made.of.hash
        fields: dict[str, Any] = {}
        if self.job.result is Dataset:
            fields = {"interval": self.spec.interval}
        elif self.job.result is Report:
            fields = {"about": self.job.makes, "passed": made.passed, "broken": made.broken, "page": made.page}
        elif self.job.result is ModelVersion:
            fields = {"name": self.spec.product, "version": made.version}
        return self.job.result(uri=uri, hash=content, facts=made.facts, **fields)

    def _manifest(self, **what: Any) -> Manifest:
        manifest = Manifest(
            spec=self.spec,
            address=self.address,
            stage=self.job.stage.value,
            code=self._commit(),
            code_hashes=self.known.code,
            packages=environment.all_versions(),
            image=os.environ.get(IMAGE_VARIABLE),
            hardware=environment.hardware(),
            external=self.inputs.external,
            started=self.started,
            ended=datetime.now(UTC),
            **{"makes": self.job.makes, **what},
        )
        Manifest.from_file(manifest.to_file())  # what can't be read back is no record
        return manifest
