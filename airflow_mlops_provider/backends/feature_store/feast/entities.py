"""The entities of the online store by themselves: as Feast's stores name them, listed, and taken out.

Feast itself has no way to take one out. What lies in SQLite, Redis and PostgreSQL is removed in Feast's own layout; in
any other store an entity's features are overwritten with none, and its name remains.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from airflow_mlops_provider.backends.feature_store.feast.layout import Key, hash_field, table
from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.lifecycle.shape import Shape, View

_AT_ONCE = 500
#: The online stores whose entities can be listed and taken out.
LISTED = ("sqlite", "redis", "postgres")


def entity_keys(shape: Shape, view: View, known: Sequence[Key]) -> list[Any]:
    """Return keys as Feast's stores take them."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.type_map import python_values_to_proto_values
    from feast.value_type import ValueType

    types = [ValueType[COLUMN_TYPES[shape.request[name]].feast] for name in view.keys]
    columns = [python_values_to_proto_values([key[place] for key in known], kind) for place, kind in enumerate(types)]
    return [EntityKey(join_keys=view.keys, entity_values=key) for key in zip(*columns, strict=True)]


def plain(value: Any) -> Any:
    """Return what a value of Feast's holds; None for none."""
    field = value.WhichOneof("val") if value is not None else None
    if field != "unix_timestamp_val":
        return getattr(value, field) if field else None
    from feast.type_map import feast_value_type_to_python_type

    return feast_value_type_to_python_type(value)


def online_keys(store: Any, view: View, wanted: Callable[[Key], bool]) -> list[Key] | None:
    """Return the keys of those of a view's entities online that are wanted; None for a store that can't list them.

    :param store: Feast's own.
    """
    kind = store.config.online_store.type
    if kind in ("sqlite", "postgres"):
        return [key for key in _in_table(store, view) if wanted(key)]
    return _in_redis(store, view, wanted) if kind == "redis" else None


def take_out(store: Any, shape: Shape, view: View, keys: Sequence[Key], moment: datetime) -> None:
    """Leave a view without some entities, as if it had never known them.

    :param store: Feast's own.
    :param moment: when that was known, for a store in which they can only be overwritten.
    """
    entities = entity_keys(shape, view, keys)
    if not entities:
        return
    kind, config = store.config.online_store.type, store.config
    if kind in ("sqlite", "postgres"):
        _out_of_table(store, view, entities)
    elif kind == "redis":
        _out_of_redis(store, view, entities)
    else:
        from feast.protos.feast.types.Value_pb2 import Value

        nothing = {name: Value() for name in view.features}
        rows = [(entity, nothing, moment, moment) for entity in entities]
        store.provider.online_write_batch(config, store.get_feature_view(view.name), rows, None)


@contextmanager
def _table(store: Any, view: View) -> Iterator[tuple[Any, str]]:
    """Give a cursor of the database that has a view's table, and the table's name; commit at the end."""
    where, opened = table(store.config, store.get_feature_view(view.name)), store.provider.online_store._get_conn  # noqa: SLF001  # the layout is Feast's
    if store.config.online_store.type == "postgres":
        with opened(store.config) as connection, connection.cursor() as cursor:
            yield cursor, where
            connection.commit()
        return
    connection = opened(store.config)
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten, too
    with connection:
        yield connection.cursor(), where


def _in_table(store: Any, view: View) -> Iterator[Key]:
    from feast.infra.key_encoding_utils import deserialize_entity_key

    with _table(store, view) as (cursor, where):
        for (stored,) in cursor.execute(f"SELECT DISTINCT entity_key FROM {where}"):  # noqa: S608  # quoted by Feast
            yield _values(deserialize_entity_key(stored, 3), view)


def _out_of_table(store: Any, view: View, entities: Sequence[Any]) -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key

    gone = ((serialize_entity_key(entity, 3),) for entity in entities)
    with _table(store, view) as (cursor, where):
        mark = "?" if store.config.online_store.type == "sqlite" else "%s"
        cursor.executemany(f"DELETE FROM {where} WHERE entity_key = {mark}", gone)  # noqa: S608  # quoted by Feast


def _in_redis(store: Any, view: View, wanted: Callable[[Key], bool]) -> list[Key]:
    from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key_prefix

    client, project, keys = _redis(store), store.config.project.encode(), []
    prefix = serialize_entity_key_prefix([*view.keys])
    pattern = re.sub(rb"([*?\[\]\\])", rb"\\\1", prefix) + b"*" + project
    for stored in client.scan_iter(pattern, count=_AT_ONCE):
        with suppress(ValueError):  # another project whose name ends like this one's
            key = _values(deserialize_entity_key(stored[: -len(project)], 3), view)
            # What several views know of an entity lies under one key.
            if wanted(key) and client.hexists(stored, f"_ts:{view.name}"):
                keys.append(key)
    return keys


def _out_of_redis(store: Any, view: View, entities: Sequence[Any]) -> None:
    from feast.infra.online_stores.helpers import _redis_key

    client = _redis(store)
    fields = [*(hash_field(view.name, name) for name in view.features), f"_ts:{view.name}".encode()]
    for at in range(0, len(entities), _AT_ONCE):
        with client.pipeline(transaction=False) as pipeline:
            for entity in entities[at : at + _AT_ONCE]:
                pipeline.hdel(_redis_key(store.config.project, entity, 3), *fields)
            pipeline.execute()


def _redis(store: Any) -> Any:
    return store.provider.online_store._get_client(store.config.online_store)  # noqa: SLF001  # the layout is Feast's


def _values(entity: Any, view: View) -> Key:
    by_name = dict(zip(entity.join_keys, map(plain, entity.entity_values), strict=True))
    return tuple(by_name[name] for name in view.keys)
