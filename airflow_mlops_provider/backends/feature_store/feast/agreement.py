"""Whether the feature store says the same offline and online, looked at without changing anything."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.exceptions import SourceError
from airflow_mlops_provider.lifecycle.shape import View
from airflow_mlops_provider.lifecycle.source import EVENT_TIME

ENTITIES = 100


def compare(store: FeatureStoreBackend) -> tuple[int, list[str]]:
    """Return how many values were looked at, and a line for each that is not the same offline and online.

    Of each view the entities of its newest interval before the watermark are looked up, at most 100.

    :raises SourceError: if nothing was brought online, or a view has no rows offline.
    :raises BackendError: if the online store does not answer, or has lost what was brought there.
    """
    store.require_online()
    mark = store.watermark()
    if mark is None:
        raise SourceError(f"no features of {store.shape.name!r} are online yet; run its feature engineering first")
    differing, count = list[str](), 0
    for view in store.shape.views:
        rows = _last(store, view, mark)
        keys = rows.reindex(columns=[*store.shape.entity_columns])  # other views' entities: not given, so unknown
        online = store.online(keys)
        count += len(rows) * len(view.features)
        differing += _differing(view, rows, online)
    return count, differing


def _last(store: FeatureStoreBackend, view: View, mark: datetime) -> pd.DataFrame:
    """Return the last row before the watermark of each entity that the newest such interval has."""
    for file in reversed(store.offline.files(view.name)):
        rows = pq.read_table(file, filters=[(EVENT_TIME, "<", mark)]).to_pandas()
        if len(rows):
            last = rows.sort_values(EVENT_TIME, kind="stable").groupby([*view.keys], sort=False, dropna=False).tail(1)
            return last.head(ENTITIES).reset_index(drop=True)
    raise SourceError(f"view {view.name!r} has no rows offline; run the product's feature engineering again")


def _differing(view: View, offline: pd.DataFrame, online: pd.DataFrame) -> Iterator[str]:
    for name in view.features:
        for place, (was, now) in enumerate(zip(offline[name], online[name], strict=True)):
            if not _same(was, now):
                entity = offline.loc[place, [*view.keys]].to_dict()
                yield f"{view.name}.{name} of {entity} is {was!r} offline, {now!r} online"


def _same(was: Any, now: Any) -> bool:
    return bool(was == now) if not (pd.isna(was) or pd.isna(now)) else bool(pd.isna(was) and pd.isna(now))
