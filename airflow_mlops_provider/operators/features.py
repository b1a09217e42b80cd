"""Features: one data interval from its sources into the feature store, and versioned training sets out of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider import assets
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.tables import Sql, snapshot
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, parse_reference
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.dataset_lists import expanded
from airflow_mlops_provider.storage.intervals import current, earlier, leading_to
from airflow_mlops_provider.storage.records import Records


class SourceExtractIntervalOperator(JobOperator):
    """Takes the interval's deliveries from the landing root, and what queries give; keeps a checked, typed snapshot.

    A query runs in the task itself, which has the connection; where the job runs, only its rows are known.
    """

    job = "extract"
    roles = ()

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        store, name, interval = self.artifacts(), self.kept_under(context), self.interval(context)
        sources = [source for source in self.product.data.sources if source.query and source.conn_id]
        if sources and interval is None:
            raise ConfigurationError(
                "a query is for a data interval, and the run has none; trigger it with a logical date"
            )
        queries = [Sql(str(source.conn_id), source.statement(interval)) for source in sources if interval]
        return {"queried": tuple(snapshot(query, store, name, interval) for query in queries)} if queries else {}


class RulesCleanIntervalOperator(JobOperator):
    """Applies the product's cleaning rules to a raw snapshot."""

    job = "clean"
    template_fields: Sequence[str] = ("raw", *JobOperator.template_fields)

    def __init__(self, *, raw: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.raw = raw


class FeaturesComputeIntervalOperator(JobOperator):
    """Computes features and examples of an interval's clean tables, and probes them for leakage.

    The earlier clean intervals that features look back on are found by themselves.
    """

    job = "compute"
    template_fields: Sequence[str] = ("clean", *JobOperator.template_fields)

    def __init__(self, *, clean: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.clean = clean

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        store, name = self.artifacts(), self.kept_under(context)
        given, interval = parse_reference(self.clean), self.interval(context)
        assert interval is not None
        if not isinstance(given, Dataset):
            return {"clean": given}  # the job says what it takes instead
        given = given if given.interval else given.model_copy(update={"interval": interval})
        lookback = self.product.features.lookback
        before = earlier(current(store, name, "features"), given)[-lookback:] if lookback else ()
        # Who stands between cleaning and this, or in cleaning's place, may have changed the tables: theirs count.
        tables = {
            **{table.interval: table for table in current(store, name, "clean")},
            **own_tables(store, before),
            interval: given,
        }
        in_order = sorted(tables.values(), key=lambda table: table.interval.start if table.interval else interval.start)
        return {"clean": leading_to(in_order, interval, lookback + 1)}


def own_tables(store: ArtifactStore, features: Iterable[Dataset]) -> dict[Interval | None, Dataset]:
    """Return of which tables features were computed, by interval, where these are not what cleaning made."""
    records, own = Records(store), {}
    for dataset in features:
        manifest = records.made(dataset).manifest
        for table in expanded(store, manifest.spec).references if manifest else ():
            if isinstance(table, Dataset) and table.interval == dataset.interval:
                made = records.made(table, manifest)
                if made.external or (made.manifest and made.manifest.spec.job != RulesCleanIntervalOperator.job):
                    own[table.interval] = table
    return own


class FeastLoadIntervalOperator(JobOperator):
    """Registers the feature definitions, replaces the interval's offline rows, and brings the online store up to date.

    Its task is where the ``features`` asset event comes from.
    """

    job = "load"
    service = "feast"
    template_fields: Sequence[str] = ("features", *JobOperator.template_fields)

    def __init__(self, *, features: Any, **kwargs: Any) -> None:
        super().__init__(sends=[assets.features(kwargs["product"])], **kwargs)
        self.features = features

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        # As the job found it: what was handed on is a claim.
        features = manifest.spec.inputs["features"]
        assert isinstance(features, Dataset)
        context["outlet_events"][assets.features(self.kept_under(context))].extra = event_extra(
            manifest, features.to_json()
        )
        return super().finish(manifest, context)


class FeastBuildTrainingSetOperator(JobOperator):
    """Joins examples with features as they were known at each example's time, and splits by time.

    The last known value of an entity may be from before the first of these intervals, so the earlier ones are named
    as inputs too; they are found by themselves.

    :param features: references to the intervals' features, oldest first.
    """

    job = "training_set"
    service = "feast"
    template_fields: Sequence[str] = ("features", *JobOperator.template_fields)

    def __init__(self, *, features: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = features

    def interval(self, context: Context) -> Interval | None:
        """Return the newest interval in the training set: from it, the next plan counts what is new."""
        newest = parse_reference(self.features[-1])
        assert isinstance(newest, Dataset)
        return newest.interval

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        known = current(self.artifacts(), self.kept_under(context), "features")
        oldest = parse_reference(self.features[0])
        assert isinstance(oldest, Dataset)
        history = earlier(known, oldest)
        return {**super().inputs(context), **({"history": history} if history else {})}

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"evaluate": self.product.training.windows.evaluate}
