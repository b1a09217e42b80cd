"""What asset events bring a run, and where the run's artifacts are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from airflow_mlops_provider.backends.artifacts import BucketStore, FolderStore


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
