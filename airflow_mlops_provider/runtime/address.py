"""Same inputs, same address: where a job's output goes follows from what goes in."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.backends.models import base as models
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
    names = sorted(set(packages(spec, find_job(spec.job))))
    versions = {name: before.packages.get(name.lower().replace("_", "-"), "absent") for name in names}
    known = Fingerprint(before.code_hashes, versions)
    same = before.spec.params == spec.params and before.spec.settings == spec.settings
    return known if same and known.address(before.spec) == before.address else None


def address(spec: JobSpec) -> str:
    """Return the address of a job that would run here."""
    return fingerprint(spec).address(spec)


def code_hashes(spec: JobSpec, job: AnyJob) -> dict[str, str]:
    """Return the hash of each source file that decides a job's result."""
    users = {name.partition(":")[0] for name in job.code(spec).values()}
    flavors = [*models.FLAVORS] if job.predicts else [trainer.flavor for trainer in job.trainers(spec)]
    begin = {job.function.__module__, *users, *(module for name in flavors for module in models.modules_of(name))}
    problem = job.problem(spec)
    if problem and any(problems.__name__ in code.closure(module) for module in begin):  # found by name, not imported
        begin.add(type(problems.find(problem)).__module__)
    return code.source_hashes(begin)


def packages(spec: JobSpec, job: AnyJob) -> tuple[str, ...]:
    """Return the distributions that a job depends on, those of each trainer that it may use and its flavor included."""
    needed = [
        name
        for trainer in job.trainers(spec)
        for name in (*trainer.requires, *models.flavor_of(trainer.flavor).to_train)
    ]
    return (*job.packages, *(models.PREDICTING if job.predicts else ()), *needed, *job.requires(spec))
