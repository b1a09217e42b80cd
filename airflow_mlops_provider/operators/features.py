"""Features: one data interval from its sources into the feature store, and versioned training sets out of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, parse_reference
from airflow_mlops_provider.operators.base import JobOperator, artifact_store
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore
from airflow_mlops_provider.storage.dataset_lists import expanded
from airflow_mlops_provider.storage.intervals import current, earlier, leading_to
from airflow_mlops_provider.storage.records import Records


class SourceExtractIntervalOperator(JobOperator):
    """Takes the interval's deliveries from the landing root and keeps them as a checked, typed snapshot."""

    job = "extract"


class RulesCleanIntervalOperator(JobOperator):
    """Applies the product's cleaning rules to a raw snapshot."""

    job = "clean"
    template_fields: Sequence[str] = ("raw",)

    def __init__(self, *, raw: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.raw = raw


class FeaturesComputeIntervalOperator(JobOperator):
    """Computes features and examples of an interval's clean tables, and probes them for leakage.

    The earlier clean intervals that features look back on are found by themselves.
    """

    job = "compute"
    template_fields: Sequence[str] = ("clean",)

    def __init__(self, *, clean: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.clean = clean

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        store, given, interval = artifact_store(), parse_reference(self.clean), self.interval(context)
        assert interval is not None
        tables = leading_to(current(store, self.product.name, "clean"), interval, self.product.features.lookback + 1)
        # What was handed on counts for its interval: a task in between may have changed the tables.
        if isinstance(given, Dataset):
            tables = tuple(given if table.interval == interval else table for table in tables)
        return {"clean": (*as_computed(store, self.product.name, tables[:-1]), *tables[-1:])}


def as_computed(store: FolderStore | BucketStore, product: str, tables: Iterable[Dataset]) -> Iterator[Dataset]:
    """Yield clean tables, each as its interval's features were computed of it if a task of one's own changed it."""
    records = Records(store)
    features = {dataset.interval: dataset for dataset in current(store, product, "features")}
    for table in tables:
        manifest = records.made(features[table.interval]).manifest if table.interval in features else None
        references = expanded(store, manifest.spec).references if manifest and manifest.external else ()
        datasets = (reference for reference in references if isinstance(reference, Dataset))
        own = (dataset for dataset in datasets if manifest and dataset.uri in manifest.external)
        yield next((dataset for dataset in own if dataset.interval == table.interval), table)


class FeastLoadIntervalOperator(JobOperator):
    """Registers the feature definitions, replaces the interval's offline rows, and brings the online store up to date.

    Its task is where the ``features`` asset event comes from.
    """

    job = "load"
    template_fields: Sequence[str] = ("features",)

    def __init__(self, *, features: Any, **kwargs: Any) -> None:
        super().__init__(sends=[assets.features(kwargs["product"])], **kwargs)
        self.features = features

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        # As the job found it: what was handed on is a claim.
        features = manifest.spec.inputs["features"]
        assert isinstance(features, Dataset)
        context["outlet_events"][assets.features(self.product)].extra = event_extra(manifest, features.to_json())
        return super().finish(manifest, context)


class FeastBuildTrainingSetOperator(JobOperator):
    """Joins examples with features as they were known at each example's time, and splits by time.

    The last known value of an entity may be from before the first of these intervals, so the earlier ones are named
    as inputs too; they are found by themselves.

    :param features: references to the intervals' features, oldest first.
    """

    job = "training_set"
    template_fields: Sequence[str] = ("features",)

    def __init__(self, *, features: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = features

    def interval(self, context: Context) -> Interval | None:
        """Return the newest interval in the training set: from it, the next plan counts what is new."""
        newest = parse_reference(self.features[-1])
        assert isinstance(newest, Dataset)
        return newest.interval

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        known = current(artifact_store(), self.product.name, "features")
        oldest = parse_reference(self.features[0])
        assert isinstance(oldest, Dataset)
        history = earlier(known, oldest)
        return {**super().inputs(context), **({"history": history} if history else {})}

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"evaluate": self.product.training.windows.evaluate}
