"""What asset events bring a run, and where the run's artifacts are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from airflow_mlops_provider.lifecycle.references import Dataset
    from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore

log = logging.getLogger(__name__)


def artifact_store() -> FolderStore | BucketStore:
    """Return the artifact root that the connections point to."""
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook

    return ArtifactStoreHook().store()


def extras(context: Context, asset: Asset) -> list[dict[str, Any]]:
    """Return the ``extra`` of each event of an asset that started this run, oldest first."""
    events = context.get("triggering_asset_events") or {}
    return [event.extra for event in events.get(asset, ()) if event.extra]


def references(context: Context, asset: Asset) -> list[dict[str, Any]]:
    """Return the references that an asset's events carried: of several for one interval, the last one stands."""
    latest = {str(extra["reference"].get("interval")): extra["reference"] for extra in extras(context, asset)}
    return list(latest.values())


def work_list(context: Context, undone: list[Dataset], all_there: Callable[[], list[Dataset]]) -> list[Dataset]:
    """Return what a run is to work on: what is undone, so many at once as Airflow takes; by hand at least the newest.

    :raises AirflowSkipException: if there is nothing to do.
    """
    from airflow_mlops_provider.storage.intervals import MOST

    if not undone and context["dag_run"].run_type == "manual":
        undone = all_there()[-1:]
    if not undone:
        raise AirflowSkipException("nothing is left to do: no interval waits")
    if len(undone) > MOST:
        log.warning("of %d intervals that wait, the next %d are done; the next run goes on", len(undone), MOST)
    return undone[:MOST]
