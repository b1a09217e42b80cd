"""Loads one interval's features into the feature store: definitions, offline rows, online values."""

from __future__ import annotations

from airflow_mlops_provider.jobs.features.feature_store import feature_store, view_files
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import FEAST, job
from airflow_mlops_provider.storage.intervals import FEATURES, publish


class Inputs(JobInputs):
    features: Dataset


class Settings(JobSettings):
    shape: Shape


@job(stage=Stage.FEATURES, makes="loaded features", packages=FEAST, publishes="loaded", side_effects=True)
def load(context: JobContext[Inputs, Settings, JobParams]) -> JobResult:
    """Replace the interval's offline rows and bring the online store up to its end; facts tell what was left out."""
    import pyarrow.parquet as pq

    features = context.inputs.features
    store = feature_store(context, context.settings.shape)
    changed = store.apply()
    context.log.info("feature definitions %s", "registered" if changed else "unchanged")
    files = view_files(context, store.shape, features)
    rows = store.offline.load(context.interval, files)
    given = {view: pq.read_metadata(file).num_rows for view, file in files.items()}
    left_out = {view: given[view] - count for view, count in rows.items() if given[view] != count}
    if left_out:
        context.log.warning("left out %s rows: without a key, or of a key and moment that comes again", left_out)
    store.materialize(context.interval)
    # What a task of somebody's own made of the computed ones counts from here on: for trainings and predictions, too.
    publish(context.store, context.product, FEATURES, features)
    context.log.info("loaded %s rows; online store stands at %s", rows, store.watermark())
    return JobResult(facts={"rows": rows, FEATURES: features.hash, "left_out": left_out})
