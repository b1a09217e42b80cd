"""The product's feature store, as jobs use it: opened by configuration, trusted only if it holds what was recorded."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_mlops_provider.backends.artifacts import file_hash
from airflow_mlops_provider.backends.feast import FeatureStoreBackend
from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.jobs.work import Work
from airflow_mlops_provider.lifecycle.references import Dataset


def feature_store(work: Work) -> FeatureStoreBackend:
    """Return the product's Feast store below the artifact root."""
    return FeatureStoreBackend(work.product, work.local("feast"), work.spec.services.online_store)


def check_loaded(work: Work, store: FeatureStoreBackend, features: Iterable[Dataset]) -> None:
    """Make sure that the offline store holds exactly the features named.

    :raises IntegrityError: naming the interval and view that differ.
    """
    for dataset in features:
        assert dataset.interval is not None
        folder, stored = work.open(dataset), store.offline_hashes(dataset.interval)
        for view in work.product.views:
            if stored.get(view.name) != file_hash(folder / f"{view.name}.parquet"):
                raise IntegrityError(
                    f"the offline store's {view.name!r} of {dataset.interval} is not the current one; "
                    "run that interval's feature engineering again"
                )
