"""The current dataset of each data interval: a rerun replaces it, never adds a second."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.record_files import read_all


def publish(store: ArtifactStore, product: str, name: str, dataset: Dataset) -> None:
    """Make a dataset the current one of its interval, in one step."""
    if dataset.interval is not None:
        key = product_key(product, "current", name, f"{dataset.interval.key}.json")
        store.write(key, dataset.to_file())


def current(store: ArtifactStore, product: str, name: str) -> list[Dataset]:
    """Return the current datasets of that name, oldest interval first; a pointer that can't be read is left out."""
    return read_all(store, store.list(product_key(product, "current", name)), Dataset)


def leading_to(datasets: list[Dataset], end: Interval, count: int) -> tuple[Dataset, ...]:
    """Return up to ``count`` datasets of the unbroken run of intervals that leads to and includes ``end``."""
    chain: list[Dataset] = []
    for dataset in reversed(datasets):
        reaches = chain[0].interval.start if chain and chain[0].interval else end.end
        if dataset.interval is not None and dataset.interval.end == reaches and len(chain) < count:
            chain.insert(0, dataset)
    return tuple(chain)


def earlier(datasets: list[Dataset], first: Dataset) -> tuple[Dataset, ...]:
    """Return the datasets of intervals that end before ``first`` begins."""
    begins = first.interval.start if first.interval else None
    return tuple(known for known in datasets if known.interval and begins and known.interval.end <= begins)
