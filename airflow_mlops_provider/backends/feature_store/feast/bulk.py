"""The last row of each entity brought online in bulk: picked by DuckDB, encoded a column at a time, written as a batch.

What is left in SQLite, Redis, PostgreSQL and DynamoDB is what Feast's own materialization leaves there. Memory holds a
batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice, repeat
from tempfile import gettempdir
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from airflow_mlops_provider.backends.feature_store.feast.layout import (
    Entities,
    encoded,
    hash_field,
    kind_of,
    table,
    texts,
)
from airflow_mlops_provider.backends.feature_store.feast.servers import dynamodb
from airflow_mlops_provider.backends.feature_store.feast.stored import answers
from airflow_mlops_provider.lifecycle.source import EVENT_TIME

_ROWS_AT_ONCE = 10_000
_BATCHES_AT_ONCE = 5  # in a transaction of SQLite, for whose end readers wait
_VALUES_AT_ONCE = 128  # in a statement of SQLite, each of which costs as much as some values
#: Of SQLite's pages, in a file of few: four times SQLite's own size, for fewer are split, written and waited for.
_PAGE_BYTES, _FEW_PAGES = 16_384, 200
_MEMORY = "1GB"  # beyond which DuckDB uses the disk
Columns = dict[str, list[Any]]


class _Batch(NamedTuple):
    """Some entities and what is to be kept of them: names, since when, each feature's values, and those as text.

    :ivar moments: microseconds since 1970.
    :ivar said: empty for a store that keeps no text.
    """

    names: list[bytes]
    moments: list[int]
    values: Columns
    said: Columns


def fits(settings: Any) -> bool:
    """Say whether an online store can be written to in bulk.

    :param settings: Feast's own, of the store. What they ask for beyond the plain layout, Feast itself writes, and what
        is to be compared with what is there already.
    """
    if settings.type in ("sqlite", "postgres"):
        return not (settings.vector_enabled or settings.enable_openai_compatible_store)
    plain = settings.type == "redis" and settings.redis_type != "redis_cluster" and bool(settings.skip_dedup)
    return plain or settings.type == "dynamodb"


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
    write = {"sqlite": _to_sqlite, "redis": _to_redis, "postgres": _to_postgres, "dynamodb": _to_dynamodb}[kind]
    text = kind in ("sqlite", "postgres")
    write(config, online_store, view, entities, _last(view, entities, begin, end, order, text=text))


def _last(
    view: Any, entities: Entities, begin: datetime, end: datetime, order: list[str], *, text: bool
) -> Iterator[_Batch]:
    """Yield the last row of each entity between two moments, a batch at a time."""
    import duckdb

    kinds, keys = {**entities.keys, **entities.features}, ", ".join(map(_quoted, entities.keys))
    columns = ", ".join(f"{_plain(name, kind)} AS {_quoted(name)}" for name, kind in kinds.items())
    # DuckDB writes a float as Python does, in a third of the time.
    floats = [name for name, kind in entities.features.items() if text and kind == "float64"]
    written = [f"CAST(nullif({_quoted(name)}, 'nan') AS VARCHAR) AS {_quoted(_text_of(name))}" for name in floats]
    with duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": gettempdir()}) as connection:
        connection.execute("SET enable_progress_bar = false")  # it would go to the job's output
        source = connection.read_parquet(view.batch_source.path, union_by_name=True)
        rows = source.filter(f"{EVENT_TIME} BETWEEN '{begin.isoformat()}' AND '{end.isoformat()}'")
        last = rows.query(
            "rows",
            f"SELECT {columns}, epoch_us({EVENT_TIME}) AS __moment FROM rows SEMI JOIN "  # noqa: S608  # quoted
            f"(SELECT {keys}, max({EVENT_TIME}) AS {EVENT_TIME} FROM rows GROUP BY {keys}) "
            f"USING ({keys}, {EVENT_TIME}) {'ORDER BY' if order else ''} {', '.join(order)}",
        ).project(", ".join(["*", *written]))
        for batch in last.to_arrow_reader(_ROWS_AT_ONCE):
            values: Columns = {name: _listed(column) for name, column in zip(batch.schema.names, batch, strict=True)}
            names = entities.names(zip(*(values.pop(key) for key in entities.keys), strict=True))
            said = {
                name: values.pop(_text_of(name), []) or [*texts(kind, values[name])]
                for name, kind in entities.features.items()
                if text
            }
            yield _Batch(names, values.pop("__moment"), values, said)


def _text_of(name: str) -> str:
    return f"text of {name}"  # no column has blanks in its name


def _listed(column: Any) -> list[Any]:
    """Return values as Python's, a missing float as NaN; Arrow itself would make an object of its own of each first."""
    if column.null_count and pa.types.is_integer(column.type):  # a float can't hold each of them
        return list(column.to_pylist())
    return list(column.to_numpy(zero_copy_only=False).tolist())


def _as_named(entities: Entities) -> list[str]:
    """Return the order of entities' names, byte by byte: what comes in order SQLite appends, and else it seeks."""
    order = list[str]()
    for name in sorted(entities.keys):
        kind = entities.keys[name]
        number = f"strlen({_quoted(name)})" if kind == "string" else _plain(name, kind)
        size = 32 if kind == "string" else 64
        swapped = (f"CAST(({number} >> {at}) & 255 AS UBIGINT) << {size - 8 - at}" for at in range(0, size, 8))
        order.append(" | ".join(f"({byte})" for byte in swapped))
        order += [_quoted(name)] if kind == "string" else []
    return order


def _plain(name: str, kind: str) -> str:
    if kind == "timestamp":
        return f"epoch_us({_quoted(name)}) // 1000000"
    return f"CAST({_quoted(name)} AS DOUBLE)" if kind == "float64" else _quoted(name)


def _quoted(name: str, mark: str = '"') -> str:
    return mark + name.replace(mark, 2 * mark) + mark


def _to_sqlite(config: Any, online_store: Any, view: Any, entities: Entities, batches: Iterator[_Batch]) -> None:
    """Write a row a feature, as Feast's table has it; all features of some entities by one statement."""
    connection = online_store._get_conn(config)  # noqa: SLF001
    _set_page_size(connection)
    count = max(1, _VALUES_AT_ONCE // (2 + 2 * len(entities.features)))
    several, single = (_upsert(table(config, view), entities, size) for size in (count, 1))
    for first in batches:
        with connection:
            for batch in chain((first,), islice(batches, _BATCHES_AT_ONCE - 1)):
                rows, times = _rows(entities, batch), len(batch.names) // count
                connection.executemany(several, (tuple(chain(*islice(rows, count))) for _ in range(times)))
                connection.executemany(single, rows)


def _set_page_size(connection: Any) -> None:
    """Let a file that holds next to nothing yet have larger pages; it stays whole, and who reads it may go on."""
    pages, size = (connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size"))
    if pages <= _FEW_PAGES and size < _PAGE_BYTES:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("VACUUM")


def _upsert(where: str, entities: Entities, count: int) -> str:
    """Return the statement that writes some entities: of each its name, since when, and each value with its text."""
    kept, width, quote = ("value", "value_text", "event_ts", "created_ts"), 2 + 2 * len(entities.features), "'"
    rows = ", ".join(
        f"(?{at + 1}, {_quoted(name, quote)}, ?{at + 2 * place + 3}, ?{at + 2 * place + 4}, ?{at + 2}, NULL)"
        for at in range(0, count * width, width)
        for place, name in enumerate(entities.features)
    )
    return (
        f"INSERT INTO {where} (entity_key, feature_name, {', '.join(kept)}) VALUES {rows} "  # noqa: S608  # quoted
        f"ON CONFLICT(entity_key, feature_name) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in kept)}"
    )


def _rows(entities: Entities, batch: _Batch) -> Iterator[tuple[Any, ...]]:
    """Return for each entity its name, since when its values are known, and each of them with its text."""
    # As Feast's own adapter of moments, which takes them for local time; its converter does so, too.
    columns: list[Iterable[Any]] = [batch.names, (int(moment.timestamp()) for moment in _moments(batch))]
    for name, kind in entities.features.items():
        columns += encoded(kind, batch.values[name]), batch.said[name]
    return zip(*columns, strict=True)


def _moments(batch: _Batch) -> list[datetime]:
    """Return moments as Feast has them: in UTC, without saying so."""
    return list(np.array(batch.moments, "M8[us]").tolist())


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
            moments = _moments(batch)
            with cursor.copy(f"COPY brought ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(("bytea", "text", "bytea", "text", "timestamp"))
                for name, kind in entities.features.items():
                    values = encoded(kind, batch.values[name])
                    for row in zip(batch.names, repeat(name), values, batch.said[name], moments):
                        copy.write_row(row)
            cursor.execute(statement)
            connection.commit()


def _to_dynamodb(config: Any, _: Any, view: Any, entities: Entities, batches: Iterator[_Batch]) -> None:
    """Write an item an entity."""
    laid_out = (
        (
            batch.names,
            [f"{moment}+00:00" for moment in _moments(batch)],
            {name: encoded(kind, batch.values[name]) for name, kind in entities.features.items()},
        )
        for batch in batches
    )
    dynamodb.write(config, view, laid_out)


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

    names = [name + project for name in batch.names]
    words: list[bytes | Sequence[bytes]] = [b"HSET", names, f"_ts:{view}".encode(), _each(batch.moments, since)]
    for name, kind in entities.features.items():
        words += hash_field(view, name), encoded(kind, batch.values[name])
    yield from _packed(words)
    if seconds:
        yield from _packed([b"EXPIRE", names, b"%d" % seconds])


def _packed(words: Sequence[bytes | Sequence[bytes]]) -> Iterator[bytes]:
    """Return commands in Redis' protocol, of words that are the same in each or another in each."""
    pieces, before = list[Iterable[bytes]](), b"*%d\r\n" % len(words)
    for word in words:
        if isinstance(word, bytes):
            before += b"$%d\r\n%b\r\n" % (len(word), word)
        else:
            heads = {size: before + b"$%d\r\n" % size for size in {*map(len, word)}}
            pieces += map(heads.__getitem__, map(len, word)), word
            before = b"\r\n"
    return map(b"".join, zip(*pieces, repeat(before), strict=False))


def _each(values: Sequence[int], make: Callable[[int], Any]) -> list[Any]:
    """Return what is made of each value, once for those that come again."""
    made = {value: make(value) for value in {*values}}
    return [made[value] for value in values]
