"""Features of a Feast repository as they were known at the moment of each row: no row lost, and none in silence.

Some of Feast's offline stores leave out rows: the one on files those that come twice, and those for which a view knows
the entity, but nothing within its time to live, with all that other views know of them. So every row is sent with a
number, what does not come back is looked up again, and the answer is put beside the rows as they were given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops_provider.backends.feature_store.feast.columns import arrow_type, cast, declared, in_utc
from airflow_mlops_provider.backends.feature_store.feast.repository import FeastRepository
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, UnknownNameError
from airflow_mlops_provider.lifecycle.frozen import only_known

#: What Feast calls the moment of a row, and the number that each row is sent with.
TIME, ROW = "event_timestamp", "__row"


@dataclass(frozen=True)
class Retrieved:
    """Rows with their features.

    :param table: the rows as they were given, ``event_timestamp`` in UTC, and a column a feature.
    :param unmatched: in how many rows all features of a view are empty, by the view's name.
    :param definitions: the hash of each definition that decided, by kind and name.
    """

    table: pa.Table
    unmatched: dict[str, int]
    definitions: dict[str, str]


def retrieve(
    repository: FeastRepository,
    rows: pa.Table,
    *,
    service: str | None = None,
    features: Sequence[str] = (),
    event_time: str = TIME,
    full_names: bool = False,
) -> Retrieved:
    """Return rows with the features of a service, or of a list of ``view:feature``, as Feast joins them.

    :param rows: the columns that identify entities, those that on-demand views want, the moment, and any others.
    :param event_time: the column of the moment: a time, a date, or text in ISO 8601; without a zone it is UTC.
    :param full_names: call a feature ``view__feature``, for views with features of the same name.
    :raises UnknownNameError: for a service, view or feature that isn't there.
    :raises SourceDataError: for rows that lack a column, or have one that can't be used.
    """
    with repository.at_work("historical features") as store:
        wanted = _Wanted.of(store, service, features, full_names)
        rows = _timed(rows, event_time)
        frame = wanted.entities(rows)
        answer = _Join(store, wanted).answer(frame)
        hashes = repository.definitions()
    clash = sorted({*rows.column_names} & {*wanted.types})
    if clash:
        raise SourceDataError(
            f"the rows have columns called as features are: {', '.join(clash)}; rename them, or take full_feature_names"
        )
    for name, kind in wanted.types.items():
        rows = rows.append_column(name, declared(answer.column(name), kind))
    unmatched = {view: _empty(rows.select(columns)) for view, columns in wanted.columns.items()}
    return Retrieved(rows, unmatched, {name: hashes[name] for name in wanted.definitions if name in hashes})


class _Wanted:
    """The features that are wanted, and what Feast must be given for them."""

    def __init__(self, store: Any, features: Any, chosen: Sequence[tuple[str, str, Any]], full_names: bool) -> None:
        from feast.types import from_value_type
        from feast.utils import _get_feature_views_to_use

        self.features, self.full_names = features, full_names
        views, on_demand = _get_feature_views_to_use(store.registry, store.project, features)
        self.views = {view.projection.name_to_use(): view for view in views}
        #: The features' columns, by view, and the type of each; Feast's reference of each, by view.
        self.columns: dict[str, list[str]] = {}
        self.types: dict[str, pa.DataType | None] = {}
        self.references: dict[str, list[str]] = {}
        for view, feature, kind in chosen:
            column = f"{view}__{feature}" if full_names else feature
            if column in self.types:
                raise ConfigurationError(f"two features are called {column!r}; take full_feature_names")
            self.types[column] = arrow_type(kind)
            self.columns.setdefault(view, []).append(column)
            self.references.setdefault(view, []).append(f"{view}:{feature}")
        keys = {
            view.projection.join_key_map.get(column.name, column.name): column.dtype
            for view in views
            for column in view.entity_columns
        }
        request = {
            name: from_value_type(kind) for view in on_demand for name, kind in view.get_request_data_schema().items()
        }
        self.needs = {name: arrow_type(kind) for name, kind in {**request, **keys}.items()}
        self.definitions = [f"feature view {view.name}" for view in (*views, *on_demand)]

    @classmethod
    def of(cls, store: Any, service: str | None, features: Sequence[str], full_names: bool) -> _Wanted:
        """Return what a service, or a list of references, names."""
        if service is None:
            return cls(store, [*features], [*_features(store, features)], full_names)
        services = {known.name: known for known in store.list_feature_services()}
        if service not in services:
            raise UnknownNameError("feature service", service, services)
        chosen = [
            (projection.name_to_use(), field.name, field.dtype)
            for projection in services[service].feature_view_projections
            for field in projection.features
        ]
        wanted = cls(store, services[service], chosen, full_names)
        wanted.definitions.append(f"feature service {service}")
        return wanted

    def entities(self, rows: pa.Table) -> pd.DataFrame:
        """Return of the rows what Feast needs, each column of the type that is declared."""
        missing = sorted(self.needs.keys() - {*rows.column_names})
        if missing:
            raise SourceDataError(
                f"the rows lack {', '.join(missing)}; needed: {', '.join(sorted(self.needs))} and {TIME}"
            )
        columns = {name: cast(rows, name, kind) for name, kind in self.needs.items()}
        columns |= {TIME: rows.column(TIME), ROW: pa.array(range(len(rows)), pa.int64())}
        # Whole numbers with gaps would else become floats, and long keys other keys.
        return pa.table(columns).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get if _gaps(columns) else None)


class _Join:
    """Asks Feast, again for what it leaves out."""

    def __init__(self, store: Any, wanted: _Wanted) -> None:
        self.store, self.wanted = store, wanted

    def answer(self, frame: pd.DataFrame) -> pa.Table:
        """Return a row of features for each row of a frame, in its order; empty where Feast knows nothing."""
        columns = [*self.wanted.types]
        whole, lost = self._looked_up(frame, self._all)
        parts = [whole.select([ROW, *columns])] if len(whole) else []
        if len(lost) and len(self.wanted.columns) > 1:
            parts.append(self._by_view(lost))
        answer = pa.concat_tables(parts, promote_options="permissive") if parts else _nothing(columns)
        return _aligned(answer, frame[ROW])

    def _by_view(self, frame: pd.DataFrame) -> pa.Table:
        """Return what each view knows by itself of rows that Feast leaves out for want of another view's."""
        joined = pa.table({ROW: pa.array(frame[ROW], pa.int64())})
        for view, columns in self.wanted.columns.items():
            known, _ = self._looked_up(frame, partial(self._one, view))
            table = _aligned(known if len(known) else _nothing(columns), frame[ROW])
            for column in columns:
                joined = joined.append_column(column, table.column(column))
        return joined

    def _looked_up(self, frame: pd.DataFrame, ask: Callable[[pd.DataFrame], Any]) -> tuple[pa.Table, pd.DataFrame]:
        """Return what Feast answers, and the rows for which it never does."""
        parts: list[pa.Table] = []
        while len(frame):
            part = ask(frame.copy()).to_arrow()
            back = frame[ROW].isin(part.column(ROW).to_pandas())
            if not back.any():
                break
            parts.append(part)
            frame = frame[~back]
        return (pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})), frame

    def _all(self, frame: pd.DataFrame) -> Any:
        return self.store.get_historical_features(frame, self.wanted.features, self.wanted.full_names)

    def _one(self, name: str, frame: pd.DataFrame) -> Any:
        references, view, store = self.wanted.references[name], self.wanted.views.get(name), self.store
        if view is None:  # an on-demand view, for which Feast looks up those that it is made of
            return store.get_historical_features(frame, references, self.wanted.full_names)
        # A service may call a view by another name, with other keys: by its reference alone nobody would find it.
        return store._get_provider().get_historical_features(  # noqa: SLF001
            store.config, [view], references, frame, store.registry, store.project, self.wanted.full_names
        )


def _features(store: Any, references: Collection[str]) -> Iterator[tuple[str, str, Any]]:
    """Yield view, feature and type of each reference ``view:feature``."""
    views = {view.name: {field.name: field.dtype for field in view.features} for view in store.list_all_feature_views()}
    for reference in references:
        view, colon, feature = reference.partition(":")
        if not colon:
            raise ConfigurationError(f"{reference!r} names no feature; write view:feature")
        only_known("feature view", [view.partition("@")[0]], views)
        fields = views[view.partition("@")[0]]
        only_known(f"feature of view {view!r}", [feature], fields)
        yield view, feature, fields[feature]


def _timed(rows: pa.Table, event_time: str) -> pa.Table:
    """Return the rows with their moment in UTC, under Feast's name for it."""
    if event_time not in rows.column_names:
        raise SourceDataError(f"the rows lack {event_time!r}, their moment; they have {', '.join(rows.column_names)}")
    if event_time != TIME and TIME in rows.column_names:
        raise SourceDataError(f"the rows have {TIME!r} already, which {event_time!r} is to be renamed to")
    moments = in_utc(rows, event_time)
    if moments.null_count:
        raise SourceDataError(f"{moments.null_count} of {len(rows)} rows have no {event_time!r}")
    return rows.set_column(rows.column_names.index(event_time), TIME, moments)


def _aligned(answer: pa.Table, numbers: pd.Series) -> pa.Table:
    """Return the rows of an answer by their numbers, empty where it has none; of two for one row, the first."""
    place = pd.Series(range(len(answer)), index=answer.column(ROW).to_pandas(), dtype="int64")
    place = place[~place.index.duplicated()].reindex(numbers)
    return answer.take(pa.array(place.astype("Int64"), pa.int64()))


def _nothing(columns: Collection[str]) -> pa.Table:
    return pa.table({ROW: pa.array([], pa.int64()), **{column: pa.nulls(0) for column in columns}})


def _empty(features: pa.Table) -> int:
    """Return in how many rows all columns are empty."""
    empty: Any = pa.scalar(True)
    for column in features.columns:
        empty = pc.and_(
            empty, pc.is_null(column, nan_is_null=True) if pa.types.is_floating(column.type) else pc.is_null(column)
        )
    return int(pc.sum(empty).as_py() or 0)


def _gaps(columns: Mapping[str, Any]) -> bool:
    return any(pa.types.is_integer(column.type) and column.null_count for column in columns.values())
