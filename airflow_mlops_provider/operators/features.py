"""Features: one data interval from its sources into the feature store, and versioned training sets out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops_provider import assets
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.tables import Sql, snapshot
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, parse_reference
from airflow_mlops_provider.lifecycle.sections import Source, Windows
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.operators.base import JobOperator, ProductOperator
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.dataset_lists import expanded
from airflow_mlops_provider.storage.intervals import current, earlier, late_for, leading_to, truth_since
from airflow_mlops_provider.storage.records import Records
from airflow_mlops_provider.storage.stale import Stale, stale

#: A run that is being done, or that failed, is not started again.
LEFT_ALONE = ["queued", "running", "failed"]


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
        raw = current(store, name, "raw") if any(source.lateness for source in known) else []
        given = {
            "queried": tuple(snapshot(query, store, name, interval) for query in queries),
            "later": tuple(dataset for dataset, _ in late_for(interval, raw).values()),
        }
        return {role: datasets for role, datasets in given.items() if datasets}


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


class FeaturesRemakeStaleOperator(ProductOperator, TriggerDagRunOperator):
    """Runs the oldest interval again whose data came late or was corrected, or whose features stand on such.

    The last task of a DAG that makes features: each run that ends looks again, so that one follows another until
    nothing is stale. A run that is on its way, or has failed, is left alone, and one of another DAG is only named.

    :param remake: whether it does, or only names them in its log; in place of the product's ``features.remake_stale``.
    """

    template_fields = ProductOperator.template_fields

    def __init__(self, *, remake: bool | None = None, **kwargs: Any) -> None:
        super().__init__(trigger_dag_id="", reset_dag_run=True, openlineage_inject_parent_info=False, **kwargs)
        self.remake = remake

    def execute(self, context: Context) -> None:
        """Start the run. :raises AirflowSkipException: if there is nothing to be done."""
        listed = stale(self.artifacts(), self.kept_under(context))
        for interval in listed:
            self.log.warning("%s is stale: %s", interval.interval, "; ".join(interval.reasons))
        declared = self.declaration.features.remake_stale if self.declaration else True
        if listed and not (declared if self.remake is None else self.remake):
            raise AirflowSkipException(f"{len(listed)} interval(s) are stale; airflow mlops stale --remake runs them")
        for interval in listed:
            if interval.run and self._may_run(interval, context):
                self.log.info("running %s again", interval.run.run_id)
                self.trigger_dag_id, self.trigger_run_id = interval.run.dag_id, interval.run.run_id
                self.logical_date = None
                super().execute(context)
        raise AirflowSkipException("nothing is stale" if not listed else "nothing that is stale can be run now")

    @staticmethod
    def _may_run(interval: Stale, context: Context) -> bool:
        ti, run = context["ti"], interval.run
        assert run is not None
        if run.dag_id != ti.dag_id or run.run_id == ti.run_id:
            return False
        return not ti.get_dr_count(dag_id=run.dag_id, run_ids=[run.run_id], states=LEFT_ALONE)
