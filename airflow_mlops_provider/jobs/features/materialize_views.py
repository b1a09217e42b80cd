"""Brings a span of a Feast repository's rows online."""

from __future__ import annotations

from datetime import datetime

from airflow_mlops_provider.jobs.features.repository import PACKAGES, RepositorySettings
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Settings(RepositorySettings):
    views: tuple[str, ...] | None = None


class Params(JobParams):
    start: datetime | None = None
    end: datetime


@job(stage=Stage.FEATURES, makes="materialized features", packages=PACKAGES, side_effects=True)
def materialize_views(context: JobContext[JobInputs, Settings, Params]) -> JobResult:
    """Materialize views; facts name the span of each that was brought online, which may reach further back or on."""
    settings, params = context.settings, context.params
    spans = settings.open().materialize(settings.views, params.start, params.end)
    views = {name: f"{start.isoformat()}/{end.isoformat()}" for name, (start, end) in sorted(spans.items())}
    context.log.info("materialized %s", views or f"nothing: all views reach to {params.end}")
    return JobResult(facts={"views": views})
