"""Brings a Feast repository's registry and online store to what its code says."""

from __future__ import annotations

from airflow_mlops_provider.jobs.features.repository import PACKAGES, RepositorySettings
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Settings(RepositorySettings):
    skip_source_validation: bool = False


@job(stage=Stage.FEATURES, makes="feature definitions", packages=PACKAGES, side_effects=True)
def apply_repository(context: JobContext[JobInputs, Settings, JobParams]) -> JobResult:
    """Do what ``feast apply`` does; facts name what was added, changed and removed."""
    settings = context.settings
    changes = settings.open().apply(skip_source_validation=settings.skip_source_validation)
    for what, names in changes.items():
        context.log.info("%s: %s", what, ", ".join(names) or "nothing")
    return JobResult(facts=changes)
