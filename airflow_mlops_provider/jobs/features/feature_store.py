"""The product's feature store, as jobs use it: opened by configuration, trusted only if it holds what was recorded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.runtime.context import AnyContext


def feature_store(context: AnyContext, shape: Shape) -> FeatureStoreBackend:
    """Return the product's Feast store below the artifact root."""
    return FeatureStoreBackend(shape, context.local("feast"), context.spec.services.online_store)


def check_loaded(context: AnyContext, store: FeatureStoreBackend, features: Iterable[Dataset]) -> None:
    """Make sure that the offline store holds exactly the features named.

    :raises IntegrityError: naming the interval and the views that differ.
    """
    for dataset in features:
        assert dataset.interval is not None
        differing = store.offline.differing(dataset.interval, view_files(context, store.shape, dataset))
        if differing:
            raise IntegrityError(
                f"the offline store's {', '.join(differing)} of {dataset.interval} is not what was computed last; "
                "run that interval's feature engineering again"
            )


def view_files(context: AnyContext, shape: Shape, features: Dataset) -> dict[str, Path]:
    """Return each view's file in a features dataset."""
    folder = context.open(features)
    return {view.name: folder / f"{view.name}.parquet" for view in shape.views}
