"""The last row of each entity brought online in bulk: picked by DuckDB, encoded a column at a time, written as a batch.

What is left in SQLite, Redis and PostgreSQL is what Feast's own materialization leaves there. Memory holds a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice, repeat
from tempfile import gettempdir
from typing import Any, NamedTuple

from airflow_mlops_provider.backends.feature_store.feast.layout import (
    Entities,
    encoded,
    hash_field,
    kind_of,
    moment,
    table,
    texts,
)
from airflow_mlops_provider.backends.feature_store.feast.stored import answers
from airflow_mlops_provider.lifecycle.source import EVENT_TIME

_ROWS_AT_ONCE = 10_000
_BATCHES_AT_ONCE = 5  # in a transaction of SQLite, for whose end readers wait
_MEMORY = "1GB"  # beyond which DuckDB uses the disk
Columns = dict[str, list[Any]]


class _Batch(NamedTuple):
    """Some entities and what is to be kept of them: under what names, since when, and each feature's values."""

    names: list[bytes]
    moments: list[int]
    values: Columns


def fits(settings: Any) -> bool:
    """Say whether an online store can be written to in bulk.

    :param settings: Feast's own, of the store. What they ask for beyond the plain layout, Feast itself writes, and what
        is to be compared with what is there already.
    """
    if settings.type == "sqlite":
        return not (settings.vector_enabled or settings.enable_openai_compatible_store)
    if settings.type == "postgres":
        return not (settings.vector_enabled or settings.enable_openai_compatible_store)
    return settings.type == "redis" and settings.redis_type != "redis_cluster" and bool(settings.skip_dedup)


def materialize(config: Any, online_store: Any, view: Any, begin: datetime, end: datetime) -> None:
    """Bring the last row of each entity between two moments online, both included, in place of what is there of it.

    :param config: of Feast's own store.
    :param online_store: Feast's own.
    :param view: Feast's own.
    """
    entities = Entities(
        {column.name: kind_of(column.dtype) for column in view.entity_columns},
        {view.name: {field.name: kind_of(field.dtype) for field in view.features}},
    )
    kind = config.online_store.type
    order = _as_named(entities) if kind == "sqlite" else []
    write = {"sqlite": _to_sqlite, "redis": _to_redis, "postgres": _to_postgres}[kind]
    write(config, online_store, view, entities, _last(view, entities, begin, end, order))


def _last(view: Any, entities: Entities, begin: datetime, end: datetime, order: list[str]) -> Iterator[_Batch]:
    """Yield the last row of each entity between two moments, a batch at a time."""
    import duckdb

    kinds, keys = {**entities.keys, **entities.features}, ", ".join(map(_quoted, entities.keys))
    columns = ", ".join(f"{_plain(name, kind)} AS {_quoted(name)}" for name, kind in kinds.items())
    with duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": gettempdir()}) as connection:
        connection.execute("SET enable_progress_bar = false")  # it would go to the job's output
        source = connection.read_parquet(view.batch_source.path, union_by_name=True)
        rows = source.filter(f"{EVENT_TIME} BETWEEN '{begin.isoformat()}' AND '{end.isoformat()}'")
        last = rows.query(
            "rows",
            f"SELECT {columns}, epoch_us({EVENT_TIME}) AS __moment FROM rows SEMI JOIN "  # noqa: S608  # quoted
            f"(SELECT {keys}, max({EVENT_TIME}) AS {EVENT_TIME} FROM rows GROUP BY {keys}) "
            f"USING ({keys}, {EVENT_TIME}) {'ORDER BY' if order else ''} {', '.join(order)}",
        )
        for batch in last.to_arrow_reader(_ROWS_AT_ONCE):
            values: Columns = {name: column.to_pylist() for name, column in zip(batch.schema.names, batch, strict=True)}
            names = entities.names(zip(*(values.pop(key) for key in entities.keys), strict=True))
            yield _Batch(names, values.pop("__moment"), values)


def _as_named(entities: Entities) -> list[str]:
    """Return the order of entities' names, byte by byte: what comes in order SQLite appends, and else it seeks."""
    order = list[str]()
    for name in sorted(entities.keys):
        kind = entities.keys[name]
        number = f"strlen({_quoted(name)})" if kind == "string" else _plain(name, kind)
        order += [f"({number} >> {shift}) & 255" for shift in range(0, 32 if kind == "string" else 64, 8)]
        order += [_quoted(name)] if kind == "string" else []
    return order


def _plain(name: str, kind: str) -> str:
    return f"epoch_us({_quoted(name)}) // 1000000" if kind == "timestamp" else _quoted(name)


def _quoted(name: str, mark: str = '"') -> str:
    return mark + name.replace(mark, 2 * mark) + mark


def _to_sqlite(config: Any, online_store: Any, view: Any, entities: Entities, batches: Iterator[_Batch]) -> None:
    """Write a row a feature, as Feast's table has it; all features of an entity by one statement."""
    connection, kept = online_store._get_conn(config), ("value", "value_text", "event_ts", "created_ts")  # noqa: SLF001
    names = [_quoted(feature, "'") for feature in entities.features]
    rows = ", ".join(f"(?1, {name}, ?{2 * at + 3}, ?{2 * at + 4}, ?2, NULL)" for at, name in enumerate(names))
    statement = (
        f"INSERT INTO {table(config, view)} (entity_key, feature_name, {', '.join(kept)}) VALUES {rows} "  # noqa: S608
        f"ON CONFLICT(entity_key, feature_name) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in kept)}"
    )
    for first in batches:
        with connection:
            for batch in chain((first,), islice(batches, _BATCHES_AT_ONCE - 1)):
                connection.executemany(statement, _rows(entities, batch))


def _rows(entities: Entities, batch: _Batch) -> Iterator[tuple[Any, ...]]:
    """Return for each entity its name, since when its values are known, and each of them with its text."""
    # As Feast's own adapter of moments, which takes them for local time; its converter does so, too.
    columns: list[Iterable[Any]] = [batch.names, _each(batch.moments, lambda known: int(moment(known).timestamp()))]
    for name, kind in entities.features.items():
        columns += encoded(kind, batch.values[name]), texts(kind, batch.values[name])
    return zip(*columns, strict=True)


def _to_postgres(config: Any, online_store: Any, view: Any, entities: Entities, batches: Iterator[_Batch]) -> None:
    """Write a row a feature, as Feast's table has it: copied to a table of this session, and from there to Feast's."""
    kept = ("value", "value_text", "event_ts")
    columns = ", ".join(("entity_key", "feature_name", *kept))
    statement = (
        f"INSERT INTO {table(config, view)} ({columns}) SELECT * FROM brought "  # noqa: S608  # quoted
        f"ON CONFLICT (entity_key, feature_name) DO UPDATE SET vector_value = NULL, created_ts = NULL, "
        f"{', '.join(f'{name} = excluded.{name}' for name in kept)}"
    )
    temporary = (
        "CREATE TEMPORARY TABLE IF NOT EXISTS brought (entity_key BYTEA, feature_name TEXT, value BYTEA, "
        "value_text TEXT, event_ts TIMESTAMP) ON COMMIT DELETE ROWS"
    )
    with online_store._get_conn(config) as connection, connection.cursor() as cursor:  # noqa: SLF001
        cursor.execute(temporary)
        for batch in batches:
            moments = _each(batch.moments, moment)
            with cursor.copy(f"COPY brought ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(("bytea", "text", "bytea", "text", "timestamp"))
                for name, kind in entities.features.items():
                    values, said = encoded(kind, batch.values[name]), texts(kind, batch.values[name])
                    for row in zip(batch.names, repeat(name), values, said, moments):
                        copy.write_row(row)
            cursor.execute(statement)
            connection.commit()


def _to_redis(config: Any, online_store: Any, view: Any, entities: Entities, batches: Iterator[_Batch]) -> None:
    """Write a hash an entity, by commands made here."""
    client = online_store._get_client(config.online_store)  # noqa: SLF001  # the layout is Feast's
    seconds = config.online_store.key_ttl_seconds
    made = (_commands(config.project.encode(), view.name, entities, batch, seconds) for batch in batches)
    for _ in answers(client.connection_pool, chain.from_iterable(made)):
        pass


def _commands(project: bytes, view: str, entities: Entities, batch: _Batch, seconds: int | None) -> Iterator[bytes]:
    """Yield ``HSET <entity> <field> <value> ...`` for each entity, and ``EXPIRE <entity> <seconds>``."""
    from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

    def since(known: int) -> bytes:
        return bytes(Timestamp(seconds=known // 1_000_000, nanos=known % 1_000_000 * 1000).SerializeToString())

    kinds = [*entities.features.items()]
    fields = [f"_ts:{view}".encode(), *(hash_field(view, name) for name, _ in kinds)]
    kept = [_each(batch.moments, since), *(encoded(kind, batch.values[name]) for name, kind in kinds)]
    columns = [[_piece(field) + _piece(value) for value in values] for field, values in zip(fields, kept, strict=True)]
    names = [_piece(name + project) for name in batch.names]
    head = b"*%d\r\n$4\r\nHSET\r\n" % (2 + 2 * len(fields))
    for pieces in zip(names, *columns, strict=True):
        yield head + b"".join(pieces)
    if seconds:
        lasting = _piece(b"%d" % seconds)
        yield from (b"*3\r\n$6\r\nEXPIRE\r\n" + name + lasting for name in names)


def _piece(value: bytes) -> bytes:
    """Return a part of a command in Redis' protocol."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def _each(values: Sequence[int], make: Callable[[int], Any]) -> list[Any]:
    """Return what is made of each value, once for those that come again."""
    made = {value: make(value) for value in {*values}}
    return [made[value] for value in values]
