"""Same inputs, same address: where a job's output goes follows from what goes in."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.backends.models.base import flavor_of
from airflow_mlops_provider.extensions import FLAVORS
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.runtime import code
from airflow_mlops_provider.runtime.definition import AnyJob, find_job


@dataclass(frozen=True)
class Fingerprint:
    """All that decides a job's result, beside the specification itself.

    :param code: the hash of each source file, by module: the job's, the users', and what these import.
    :param packages: the versions of the distributions that the result depends on.
    """

    code: dict[str, str]
    packages: dict[str, str]

    def address(self, spec: JobSpec) -> str:
        """Return the hex digest of inputs, settings, parameters, code and packages."""
        return digest({**spec.identity(), "code": self.code, "packages": self.packages})


def fingerprint(spec: JobSpec) -> Fingerprint:
    """Return what decides a job's result where it would run here."""
    job = find_job(spec.job)
    return Fingerprint(code_hashes(spec, job), environment.versions(packages(spec, job)))


def fingerprint_beside(spec: JobSpec, before: Manifest) -> Fingerprint | None:
    """Return the same for where another job of the kind ran before; None if that one doesn't tell.

    What an image holds never changes, so its code and packages are those that the earlier manifest names.
    """
    job = find_job(spec.job)
    names = sorted(set(packages(spec, job)))
    versions = {name: before.packages.get(name.lower().replace("_", "-"), "absent") for name in names}
    known = Fingerprint(before.code_hashes, versions)
    same = before.spec.params == spec.params and before.spec.settings == spec.settings
    same = same and applied(before.spec, job) == applied(spec, job)
    return known if same and known.address(before.spec) == before.address else None


def address(spec: JobSpec) -> str:
    """Return the address of a job that would run here."""
    return fingerprint(spec).address(spec)


def code_hashes(spec: JobSpec, job: AnyJob) -> dict[str, str]:
    """Return the hash of each source file that decides a job's result.

    A part that a setting names is found by its name, and imported by nobody: it counts for a job that comes to where
    such parts are looked for.
    """
    users = {name.partition(":")[0] for name in job.code(spec).values()}
    begin = {job.function.__module__, *users}
    reached = code.closure(*begin)
    named = {(point, name) for point, name in job.parts(spec) if point.package in reached}
    named |= {(FLAVORS, name) for name in applied(spec, job)}
    return code.source_hashes(begin.union(*(point.modules(name) for point, name in named)))


def packages(spec: JobSpec, job: AnyJob) -> tuple[str, ...]:
    """Return the distributions that a job depends on, and those of trainers, parts and settings that it may use."""
    required = [name for trainer in job.trainers(spec) for name in trainer.requires]
    needed = [package for point, name in job.parts(spec) for package in getattr(point.find(name), "packages", ())]
    predicting = [package for name in applied(spec, job) for package in flavor_of(name).to_predict]
    return (*job.packages, *predicting, *required, *needed, *job.requires(spec))


def applied(spec: JobSpec, job: AnyJob) -> set[str]:
    """Return the flavors whose models a job may apply: each of ours, and those of the models that it is given."""
    given = (reference.facts.get("flavor") for reference in spec.references)
    return {*FLAVORS.builtin, *filter(None, given)} if job.predicts else set()
