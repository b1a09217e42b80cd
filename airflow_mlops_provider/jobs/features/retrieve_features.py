"""Joins rows with features of a Feast repository, as they were known at each row's moment."""

from __future__ import annotations

from pydantic import model_validator

from airflow_mlops_provider.jobs.features.repository import PACKAGES, RepositorySettings, only_table
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams
from airflow_mlops_provider.runtime.context import TABLE, JobContext, JobResult
from airflow_mlops_provider.runtime.custom_data import write
from airflow_mlops_provider.runtime.definition import job


class Inputs(JobInputs):
    entities: Dataset


class Settings(RepositorySettings):
    service: str | None = None
    features: tuple[str, ...] | None = None
    event_time: str = "event_timestamp"
    full_feature_names: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> Settings:
        if bool(self.service) == bool(self.features):
            raise ValueError("give a service, or features as view:feature; one of the two")
        return self


# Side effects: no input names what lies in the offline store, and it may have been corrected or grown.
@job(stage=Stage.FEATURES, makes="retrieved features", packages=PACKAGES, side_effects=True)
def retrieve_features(context: JobContext[Inputs, Settings, JobParams]) -> JobResult:
    """Write ``table``: each row with its features. The same rows with the same features have the same hash."""
    from airflow_mlops_provider.backends.feature_store.feast.historical import retrieve

    settings, rows = context.settings, only_table(context, context.inputs.entities)
    retrieved = retrieve(
        settings.open(),
        rows,
        service=settings.service,
        features=settings.features or (),
        event_time=settings.event_time,
        full_names=settings.full_feature_names,
    )
    count = write(retrieved.table, TABLE, context.folder)
    unmatched = {view: number for view, number in retrieved.unmatched.items() if number}
    context.log.info("%d rows; without any feature of a view: %s", count, unmatched or "none")
    return JobResult(
        facts={"rows": {TABLE: count}, "unmatched": retrieved.unmatched, "definitions": retrieved.definitions},
        metrics={"rows": float(count), **{f"unmatched.{view}": float(number) for view, number in unmatched.items()}},
    )
