"""Pushes rows into a Feast repository."""

from __future__ import annotations

from typing import Literal

from airflow_mlops_provider.jobs.features.repository import PACKAGES, RepositorySettings, only_table
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams
from airflow_mlops_provider.runtime.context import TABLE, JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Inputs(JobInputs):
    rows: Dataset


class Settings(RepositorySettings):
    source: str
    to: Literal["online", "offline", "online_and_offline"] = "online"


@job(stage=Stage.FEATURES, makes="pushed rows", packages=PACKAGES, side_effects=True)
def push_rows(context: JobContext[Inputs, Settings, JobParams]) -> JobResult:
    """Push rows to a push source; facts count those that came into each store, without those that were there."""
    from airflow_mlops_provider.backends.feature_store.feast.push import push

    settings, rows = context.settings, only_table(context, context.inputs.rows)
    counts = push(settings.open(), settings.source, rows, settings.to)
    context.log.info("pushed %d rows to %s: %s", len(rows), settings.source, counts)
    return JobResult(facts={"rows": {TABLE: len(rows)}, **counts})
