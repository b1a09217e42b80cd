"""Loads one interval's features into the feature store: definitions, offline rows, online values."""

from __future__ import annotations

from airflow_mlops_provider.jobs.store import feature_store, view_files
from airflow_mlops_provider.jobs.work import Outcome, Work


def run(work: Work) -> Outcome:
    """Replace the interval's offline rows and bring the online store up to its end; facts tell what was left out."""
    import pyarrow.parquet as pq

    features = work.input("features")
    store = feature_store(work)
    changed = store.apply()
    work.log.info("feature definitions %s", "registered" if changed else "unchanged")
    files = view_files(work, features)
    rows = store.load_offline(work.interval, files)
    given = {view: pq.read_metadata(file).num_rows for view, file in files.items()}
    left_out = {view: given[view] - count for view, count in rows.items() if given[view] != count}
    if left_out:
        work.log.warning("left out %s rows: without a key, or of a key and moment that comes again", left_out)
    store.materialize(work.interval)
    work.log.info("loaded %s rows; online store stands at %s", rows, store.watermark())
    return Outcome(facts={"rows": rows, "features": features.hash, "left_out": left_out})
