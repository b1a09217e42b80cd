"""Features: one data interval from its sources into the feature store, and versioned training sets out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow.sdk import BaseOperator, Context

from airflow_mlops_provider import assets
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.tables import Sql, snapshot
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, parse_reference
from airflow_mlops_provider.lifecycle.sections import Source, Windows
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.places.retry_policy import final_failures
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.dataset_lists import expanded
from airflow_mlops_provider.storage.intervals import current, earlier, late_for, leading_to, truth_since
from airflow_mlops_provider.storage.records import Records
from airflow_mlops_provider.triggers.streams import StreamTrigger


class SourceExtractIntervalOperator(JobOperator):
    """Takes the interval's deliveries from the landing root, and what queries give; keeps a checked, typed snapshot.

    A query runs in the task itself, which has the connection; where the job runs, only its rows are known.

    :param sources: what is delivered, in place of the product's.
    """

    job = "extract"
    roles = ()

    def __init__(self, *, sources: Sequence[Source] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.needs(sources=sources)
        self.take(sources=sources)

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        store, name, interval = self.artifacts(), self.kept_under(context), self.interval(context)
        known = self.overrides.get("sources") or self.product.data.sources
        asking = [source for source in known if source.query and source.conn_id]
        if asking and interval is None:
            raise ConfigurationError(
                "a query is for a data interval, and the run has none; trigger it with a logical date"
            )
        if interval is None:
            return {}
        queries = [Sql(str(source.conn_id), source.statement(interval)) for source in asking]
        raw = current(store, name, "raw")
        given = {
            "queried": tuple(snapshot(query, store, name, interval) for query in queries),
            "later": tuple(dataset for dataset, _ in late_for([interval], raw)[interval]),
        }
        return {role: datasets for role, datasets in given.items() if datasets}


class StreamLandOperator(BaseOperator):
    """Lands what a stream has had since the last time, as files below the landing root, and marks complete intervals.

    Each entry is in one file, whoever else lands the same stream, and however often a try was killed. It hands on
    ``entries``, how many it landed; ``files`` and ``completed``, the newest names; ``through``, the last entry's id.

    :param stream: its name.
    :param path: the folder of an interval below the landing root: ``orders/{start:%Y-%m-%d}/``; a source's own path.
    :param schedule, start, time_zone: how time is cut into intervals, and a moment in the first of them; a product's.
    :param marker, json_field, batch, max_seconds, lost_through: see :class:`.StreamTrigger`.
    :param conn_id: a connection of type ``mlops_stream``, or ``redis``.
    """

    template_fields: Sequence[str] = ("stream", "path", "schedule", "start", "lost_through", "conn_id")
    ui_color = "#dcecf5"

    def __init__(
        self,
        *,
        stream: str,
        path: str,
        schedule: str,
        start: datetime | str,
        time_zone: str = "UTC",
        marker: str = "_COMPLETE",
        json_field: str | None = None,
        batch: int = 10_000,
        max_seconds: float = 3600.0,
        lost_through: str | None = None,
        conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stream, self.path, self.conn_id = stream, path, conn_id
        self.schedule, self.start, self.lost_through = schedule, start, lost_through
        self.fixed: dict[str, Any] = {
            "time_zone": time_zone,
            "marker": marker,
            "json_field": json_field,
            "batch": batch,
        }
        self.max_seconds = max_seconds

    @final_failures()
    def execute(self, context: Context) -> dict[str, Any]:
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.template_fields}
        seen = StreamTrigger(**fields, **self.fixed).look()
        self.log.info("%s", seen.text)
        return seen.facts


class RulesCleanIntervalOperator(JobOperator):
    """Applies cleaning rules to a raw snapshot.

    :param raw: a snapshot, or any table: ``Files``, ``Sql``, a path, another task's output.
    :param clean: in place of the product's: ``clean(raw: dict[str, DataFrame], interval) -> dict[str, DataFrame]``.
    :param sources: whose tables the rules get; without a product, all tables of the snapshot.
    """

    job = "clean"
    template_fields: Sequence[str] = ("raw", *JobOperator.template_fields)

    def __init__(
        self,
        *,
        raw: Any,
        clean: Callable[..., Any] | str | None = None,
        sources: Sequence[Source] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.needs(clean=clean)
        self.take(clean=clean, sources=sources)
        self.raw = raw


class FeaturesComputeIntervalOperator(JobOperator):
    """Computes features and examples of an interval's clean tables, and probes them for leakage.

    The earlier clean intervals that features look back on are found by themselves.

    :param clean: an interval's clean tables, or any table: ``Files``, ``Sql``, a path, another task's output.
    :param compute, examples, shape, sources, known_later: in place of the product's: see :class:`.Features`,
        :class:`.Label`, :class:`.Shape` and :class:`.Data`.
    :param lookback: how many earlier intervals features need; without a product none unless it is said.
    """

    job = "compute"
    template_fields: Sequence[str] = ("clean", *JobOperator.template_fields)

    def __init__(
        self,
        *,
        clean: Any,
        compute: Callable[..., Any] | str | None = None,
        examples: Callable[..., Any] | str | None = None,
        shape: Shape | None = None,
        sources: Sequence[Source] | None = None,
        known_later: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
        lookback: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.needs(compute=compute, examples=examples, shape=shape)
        self.take(compute=compute, examples=examples, shape=shape, sources=sources, known_later=known_later)
        self.clean = clean
        declared = self.declaration.features.lookback if self.declaration else 0
        self.lookback = declared if lookback is None else lookback

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        store, name, lookback = self.artifacts(), self.kept_under(context), self.lookback
        given, interval = super().inputs(context)["clean"], self.interval(context)
        if interval is None or not isinstance(given, Dataset):
            return {"clean": given}  # the job says what it takes instead
        given = given if given.interval else given.model_copy(update={"interval": interval})
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
        manifest = _computed(records, dataset)
        for table in expanded(store, manifest.spec).references if manifest else ():
            if isinstance(table, Dataset) and table.interval == dataset.interval:
                made = records.made(table, manifest)
                if made.external or (made.manifest and made.manifest.spec.job != RulesCleanIntervalOperator.job):
                    own[table.interval] = table
    return own


def _computed(records: Records, features: Dataset) -> Manifest | None:
    """Return how features were computed, of which a task of somebody's own may have made those that count."""
    manifest = records.made(features).manifest
    if manifest is None or manifest.spec.job == FeaturesComputeIntervalOperator.job:
        return manifest
    behind = (made.manifest for made in records.ancestors(manifest) if made.manifest)
    job, of = FeaturesComputeIntervalOperator.job, features.interval
    return next((known for known in behind if (known.spec.job, known.spec.interval) == (job, of)), None)


class FeastLoadIntervalOperator(JobOperator):
    """Registers the feature definitions, replaces the interval's offline rows, and brings the online store up to date.

    Its task is where the ``features`` asset event comes from.

    :param shape: its columns, in place of the product's.
    """

    job = "load"
    service = "feast"
    template_fields: Sequence[str] = ("features", *JobOperator.template_fields)

    def __init__(self, *, product: MLProduct | str, features: Any, shape: Shape | None = None, **kwargs: Any) -> None:
        super().__init__(product=product, sends=[assets.features(product)], **kwargs)
        self.needs(shape=shape)
        self.take(shape=shape)
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
    :param shape: their columns, in place of the product's.
    :param evaluate: how many of the last intervals are kept for evaluation; without a product one unless it is said.
    """

    job = "training_set"
    service = "feast"
    template_fields: Sequence[str] = ("features", *JobOperator.template_fields)

    def __init__(
        self, *, features: Any, shape: Shape | None = None, evaluate: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.needs(shape=shape)
        self.take(shape=shape)
        self.features = features
        declared = self.declaration.training.windows if self.declaration else Windows()
        self.evaluate = declared.evaluate if evaluate is None else evaluate

    def interval(self, context: Context) -> Interval | None:
        """Return the newest interval in the training set: from it, the next plan counts what is new."""
        newest = parse_reference(self.features[-1])
        assert isinstance(newest, Dataset)
        return newest.interval

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        known, tables = (current(self.artifacts(), self.kept_under(context), name) for name in ("features", "clean"))
        oldest = parse_reference(self.features[0])
        assert isinstance(oldest, Dataset)
        shape = self.overrides.get("shape") or self.product.shape
        more = {
            "history": earlier(known, oldest),
            "truth": truth_since(tables, shape.label, oldest.interval),
        }
        return {**super().inputs(context), **{role: datasets for role, datasets in more.items() if datasets}}

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"evaluate": self.evaluate}
