"""Our parts of Feast, which finds these classes by their names: the offline rows on DuckDB, the registry in a file,
and what brings rows online.

Feast's own DuckDB join pairs every row with the entity's whole history before it picks the latest, which grows with the
product of the two. The ASOF join walks both in time order and keeps one match a row.

Feast's own registry file is emptied before it is written, and a kill there loses every definition. Others read it at
the same time, too: training, predictions and the model server while features are loaded.

Feast's own materialization makes an object of each value and a statement or command of each row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import ibis
from feast.feature_view import FeatureView
from feast.infra.common.materialization_job import MaterializationJobStatus
from feast.infra.compute_engines.local.compute import LocalComputeEngine, LocalComputeEngineConfig
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig, _write_data_source
from feast.infra.offline_stores.ibis import IbisRetrievalJob, pull_all_from_table_or_query_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.file import FileRegistryStore
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.utils import _utc_now
from pydantic import StrictStr

from airflow_mlops_provider.backends.feature_store.feast import bulk
from airflow_mlops_provider.storage.atomic import atomic_write

OFFLINE_STORE = f"{__name__}.PointInTimeDuckDBOfflineStore"
BATCH_ENGINE = f"{__name__}.BulkEngine"
REGISTRY_STORE = f"{__name__}.WholeFileRegistryStore"


class WholeFileRegistryStore(FileRegistryStore):  # type: ignore[misc]
    """A registry in one file; readers see the old content or the new one."""

    def _write_registry(self, registry_proto: Any) -> None:
        registry_proto.version_id = os.urandom(16).hex()
        registry_proto.last_updated.FromDatetime(_utc_now())
        atomic_write(self._filepath, registry_proto.SerializeToString())


class BulkEngineConfig(LocalComputeEngineConfig):  # type: ignore[misc]
    """Settings of the engine below."""

    type: StrictStr = BATCH_ENGINE


class BulkEngine(LocalComputeEngine):  # type: ignore[misc]
    """Feast's local engine, which brings rows online in bulk where it can."""

    def _materialize_one(self, registry: Any, task: Any, **given: Any) -> Any:
        if not bulk.fits(self.repo_config.online_store):
            return super()._materialize_one(registry, task, **given)
        name, error = f"{task.feature_view.name}-{task.start_time}-{task.end_time}", None
        try:
            bulk.materialize(self.repo_config, self.online_store, task.feature_view, task.start_time, task.end_time)
        except Exception as raised:  # noqa: BLE001 - Feast raises it
            error = raised
        state = MaterializationJobStatus.ERROR if error else MaterializationJobStatus.SUCCEEDED
        return LocalMaterializationJob(name, state, error=error)


class PointInTimeDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc]
    """Settings of the store below."""

    type: StrictStr = OFFLINE_STORE


class PointInTimeDuckDBOfflineStore(DuckDBOfflineStore):  # type: ignore[misc]
    """Feast's DuckDB store, with an ASOF join for history and files of differing age read by column name."""

    @staticmethod
    def pull_all_from_table_or_query(**given: Any) -> RetrievalJob:
        """Return the rows between two moments, both included; Feast's materialization reads through this."""
        return pull_all_from_table_or_query_ibis(
            **given, data_source_reader=_read, data_source_writer=_write_data_source
        )

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Return, for each row, the last known value of each feature at the row's moment; None before any.

        :param entity_df: entity columns and one timestamp column, as Feast has it; every row and column is kept.
        :raises NotImplementedError: for what an ASOF join can't honour: views with a time to live or a created column,
            on-demand views, entities given as SQL.
        """
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        if isinstance(entity_df, str) or on_demand or filter_by_created_timestamp:
            raise NotImplementedError(
                "this store joins data frames to plain feature views; else use Feast's own duckdb"
            )
        time = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        rows = ibis.memtable(entity_df)
        for view in feature_views:
            rows = _join(rows, view, feature_refs, time, full_feature_names)
        return IbisRetrievalJob(
            rows,
            [],
            full_feature_names,
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[column for column in entity_df.columns if column != time],
                min_event_timestamp=entity_df[time].min(),
                max_event_timestamp=entity_df[time].max(),
            ),
            data_source_writer=_write_data_source,
            staging_location=None,
            staging_location_endpoint_override=None,
            repo_path=str(config.repo_path),
        )


def _read(source: Any, _repo_path: str = "") -> Any:
    """Return a source's files as one table; a file older than a feature holds nulls for it."""
    return ibis.read_parquet(source.path, union_by_name=True)


def _join(rows: Any, view: FeatureView, refs: Sequence[str], time: str, full_names: bool) -> Any:
    """Return the rows with the requested features of a view as of each row's moment."""
    source = view.batch_source
    if view.ttl or source.created_timestamp_column or source.field_mapping:
        raise NotImplementedError(
            f"view {view.name!r} has a time to live, a created column or a field mapping; use Feast's own duckdb store"
        )
    keys = view.projection.join_key_map or {entity.name: entity.name for entity in view.entity_columns}
    history = _read(source)
    # Names that no column of the rows can have: a clash would be resolved by silently renaming one side.
    names = {f"__key_{key}": key for key in keys} | {"__known": source.timestamp_field}
    name = view.projection.name_to_use()
    features = [ref.removeprefix(f"{name}:") for ref in refs if ref.startswith(f"{name}:")]
    outputs = {f"{name}__{feature}" if full_names else feature: feature for feature in features}
    history = history.select(**{new: history[old] for new, old in (names | outputs).items()})
    history = history.mutate(__known=history["__known"].cast("timestamp('UTC')"))
    left = rows.mutate(__at=rows[time].cast("timestamp('UTC')"))
    same = [
        left[row_key].cast(history[f"__key_{key}"].type()) == history[f"__key_{key}"] for key, row_key in keys.items()
    ]
    joined = left.asof_join(history, left["__at"] >= history["__known"], predicates=same)
    return joined.select(*rows.columns, *outputs)
