"""Loads one interval's features into the feature store: definitions, offline rows, online values."""

from __future__ import annotations

from airflow_mlops_provider.jobs.store import feature_store, view_files
from airflow_mlops_provider.jobs.work import Outcome, Work


def run(work: Work) -> Outcome:
    """Replace the interval's offline rows and bring the online store up to its end."""
    features = work.input("features")
    store = feature_store(work)
    changed = store.apply()
    work.log.info("feature definitions %s", "registered" if changed else "unchanged")
    rows = store.load_offline(work.interval, view_files(work, features))
    store.materialize(work.interval)
    work.log.info("loaded %s rows; online store stands at %s", rows, store.watermark())
    return Outcome(facts={"rows": rows, "features": features.hash})
