"""Runs one job: finds finished work, does the rest, and leaves exactly one manifest, come what may."""

from __future__ import annotations

import logging
import os
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends import code, environment
from airflow_mlops_provider.backends.artifacts import (
    MANIFEST,
    BucketStore,
    FolderStore,
    content_hash,
    file_hash,
    files_of,
    open_store,
)
from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.jobs.address import address, address_beside, code_hashes, declaration, result_key, reuse_key
from airflow_mlops_provider.jobs.catalogue import Job, find_job
from airflow_mlops_provider.jobs.checkpoints import Checkpoints
from airflow_mlops_provider.jobs.declarations import declare
from airflow_mlops_provider.jobs.intervals import publish
from airflow_mlops_provider.jobs.masks import masked
from airflow_mlops_provider.jobs.trainer import as_asked
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.manifest import Failure, Manifest, Output
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import Dataset, Reference
from airflow_mlops_provider.lifecycle.spec import JobSpec

log = logging.getLogger("mlops.runner")
IMAGE_VARIABLE = "MLOPS_IMAGE_DIGEST"
LONGEST_MESSAGE = 4000
#: What code that is wrong raises, on the same inputs each time. Whatever else it raises may come from outside.
MISTAKES = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, NotImplementedError),
    *(SyntaxError, TypeError, ValueError),
)


def run(spec: JobSpec) -> Manifest:
    """Run a job, or find that it was run already, and return its manifest.

    The manifest is also written under the job's address; a failed one is replaced by the next attempt. Of finished
    work the one manifest stays, and that of a run which finds it lies below, and points to it.
    """
    attempt = _begin(spec)
    return attempt.found() or attempt.done()


def find(
    spec: JobSpec, environment: Mapping[str, str] | None = None, beside: Manifest | None = None
) -> Manifest | None:
    """Return the manifest of finished work, which is current again by then; None if there is work to do.

    A place asks ahead: for what is done it need not start anything.

    :param environment: credentials of the artifact root, where they are not in the process's own environment.
    :param beside: what an earlier job of this kind left where this one would run, if that is not here.
    """
    attempt = _begin(spec, environment)
    if beside is not None:
        elsewhere = address_beside(spec, beside, attempt.declared)
        if elsewhere is None:
            return None
        attempt.address = elsewhere
    return attempt.found()


def _begin(spec: JobSpec, environment: Mapping[str, str] | None = None) -> _Attempt:
    declared, job = code.load_product(spec.product), find_job(spec.job)
    product = as_asked(declared, spec)
    # The code is fingerprinted before the work: an edit meanwhile must not end up in its manifest.
    hashes, began = code_hashes(job, product), datetime.now(UTC)
    store = open_store(spec.root, environment)
    return _Attempt(spec, declared, product, job, store, address(spec, product), hashes, began)


def read_manifest(store: FolderStore | BucketStore, key: str) -> Manifest | None:
    """Return the manifest under a result folder, or None if no attempt has ended there."""
    try:
        return Manifest.model_validate_json(store.read(f"{key}/{MANIFEST}"))
    except FileNotFoundError:
        return None


def write_manifest(store: FolderStore | BucketStore, key: str, manifest: Manifest) -> None:
    """Make a manifest the one of its result folder; one that told of another result is kept beside it.

    A corrected delivery leads to the same address and other rows, and models were made of the rows before.
    """
    before = read_manifest(store, key)
    if before is not None and before.result is not None and before.result != manifest.result:
        store.write(f"{key}/{before.ended:%Y%m%dT%H%M%S%f}Z.json", before.model_dump_json(indent=1).encode())
    store.write(f"{key}/{MANIFEST}", manifest.model_dump_json(indent=1).encode())


@dataclass
class _Attempt:
    """One try at a job, from its start to the manifest that tells of it."""

    spec: JobSpec
    declared: MLProduct
    product: MLProduct
    job: Job
    store: FolderStore | BucketStore
    address: str
    hashes: dict[str, str]
    started: datetime

    @property
    def key(self) -> str:
        return result_key(self.spec, self.address)

    def found(self) -> Manifest | None:
        """Return the manifest of finished work, and leave one of this run that points to it; None if there is none."""
        done = None if self.spec.force or self.job.effect else read_manifest(self.store, self.key)
        if done is None or done.state != "success":
            return None
        when, by = f"{done.ended:%F %T}Z", done.spec.run
        log.info("reusing finished work of %s, made %s by %s %s", self.spec.job, when, by.dag_id, by.run_id)
        kept = {name: getattr(done, name) for name in ("state", "result", "outputs", "metrics", "seed")}
        pointing = self._tell(**kept, original=f"{self.store.uri}/{self.key}")
        self.store.write(
            f"{reuse_key(self.key, self.spec.run)}/{MANIFEST}", pointing.model_dump_json(indent=1).encode()
        )
        self._settle(done)
        return done

    def done(self) -> Manifest:
        """Do the work, and return the manifest that it leaves."""
        manifest = self.manifest()
        write_manifest(self.store, self.key, manifest)
        self._settle(manifest)
        return manifest

    def _settle(self, manifest: Manifest) -> None:
        declare(self.store, self.declared)
        if manifest.state == "success":
            Checkpoints(self.store, self.key).clear()
        if self.job.publishes and isinstance(manifest.result, Dataset):
            publish(self.store, self.spec.product, self.job.publishes, manifest.result)

    def manifest(self) -> Manifest:
        with tempfile.TemporaryDirectory(prefix=f"mlops-{self.spec.job}-") as folder:
            try:
                return self._tell(**self._work(Path(folder)))
            except Exception as error:  # whatever a user's code raises, the manifest must tell of it
                log.exception("%s failed", self.spec.job)
                return self._tell(state="failed", failure=describe(missing_extra(error, self.product) or error))

    def _work(self, folder: Path) -> dict[str, Any]:
        outcome = self.job.load()(Work(self.spec, folder, self.address))
        found = content_hash(folder)
        data_key = f"{self.key}/{found[:16]}"
        self.store.upload(folder, data_key)
        outputs = tuple(
            Output(name=file.relative_to(folder).as_posix(), sha256=file_hash(file), bytes=file.stat().st_size)
            for file in files_of(folder)
        )
        return {
            "state": "success",
            "result": self._reference(outcome, f"{self.store.uri}/{data_key}", found),
            "outputs": outputs,
            "metrics": outcome.metrics,
            "seed": outcome.seed,
        }

    def _reference(self, outcome: Outcome, uri: str, found: str) -> Reference:
        fields = dict(outcome.fields)
        if outcome.kind is Dataset:
            fields["interval"] = self.spec.interval
        if outcome.of is not None:
            uri, found = outcome.of.uri, outcome.of.hash
        return outcome.kind(uri=uri, hash=found, facts=outcome.facts, **fields)

    def _tell(self, **what: Any) -> Manifest:
        return Manifest(
            spec=self.spec,
            address=self.address,
            code=code.commit_of(f"{self.spec.product}.product"),
            code_hashes=self.hashes,
            declaration=declaration(self.job, self.product),
            packages=environment.all_versions(),
            image=os.environ.get(IMAGE_VARIABLE),
            hardware=environment.hardware(),
            started=self.started,
            ended=datetime.now(UTC),
            **what,
        )


def describe(error: Exception) -> Failure:
    """Return what a manifest keeps of an error: bounded, with whether a retry helps."""
    kind = type(error)
    plain = isinstance(error, MLOpsError) or kind.__module__ == "builtins"
    return Failure(
        error=kind.__name__ if plain else f"{kind.__module__}.{kind.__qualname__}",  # others have a ConflictError, too
        message=masked(str(error))[:LONGEST_MESSAGE],
        retryable=error.retryable if isinstance(error, MLOpsError) else not isinstance(error, MISTAKES),
        traceback=masked("".join(traceback.format_exception(error)))[-LONGEST_MESSAGE:],
    )
