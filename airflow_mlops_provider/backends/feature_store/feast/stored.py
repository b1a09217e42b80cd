"""Where the last features of entities are read: SQLite, Redis, PostgreSQL and DynamoDB as Feast lays them out,
others by Feast.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from airflow_mlops_provider.backends.feature_store.feast.entities import entity_keys
from airflow_mlops_provider.backends.feature_store.feast.layout import (
    Entities,
    Key,
    Row,
    Wanted,
    hash_field,
    parts,
    table,
)
from airflow_mlops_provider.backends.feature_store.feast.servers.dynamodb import DynamoDBRows
from airflow_mlops_provider.lifecycle.shape import Shape

# SQLite takes 32,766 values in one statement.
_KEYS_AT_ONCE = 10_000
# Commands that are sent before any answer is read, which Redis keeps meanwhile.
_COMMANDS_AT_ONCE = 2_000
#: Seconds that a look-up waits for a server, which would by itself wait for ever.
SECONDS = 5
_MOST_KNOWN = 100_000  # entities that are remembered; then all are forgotten


class Stored(Protocol):
    """An online store."""

    def rows(self, wanted: Wanted) -> list[Sequence[Row]]:
        """Return the kept values of some entities, in their order. An entity is wanted once, and has all its keys."""
        ...


def stored(feast_store: Any, shape: Shape, views: Mapping[str, Any], file: Path | None, lock: threading.Lock) -> Stored:
    """Return where a product's features are read.

    :param feast_store: Feast's own store.
    :param views: as Feast's registry has them, by name.
    :param file: the online store's file; None for a store that is no file.
    :param lock: held while Feast's own store reads, which may be made for one thread.
    """
    settings = feast_store.config.online_store
    if file is not None:
        return SqliteRows(feast_store.config, views, file)
    # A cluster knows where each key is, and Feast's own reader asks it.
    if settings.type == "redis" and settings.redis_type != "redis_cluster" and settings.client == "redis":
        return RedisRows(feast_store)
    if settings.type == "postgres":
        return PostgresRows(feast_store.config, views)
    if settings.type == "dynamodb":
        return DynamoDBRows(feast_store.config, views, SECONDS)
    return FeastRows(feast_store, shape, views, lock)


class SqliteRows:
    """Feast's tables in SQLite. What was read is kept as long as nobody has written to the file."""

    def __init__(self, config: Any, views: Mapping[str, Any], file: Path) -> None:
        self._tables = {name: table(config, view) for name, view in views.items()}
        self._connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        self._lock = threading.Lock()
        self._known: dict[tuple[str, ...], dict[Key, Row]] = {}
        self._version: Any = None

    def rows(self, wanted: Wanted) -> list[Sequence[Row]]:
        """Return the kept values of some entities; see :class:`Stored`."""
        with self._lock:
            self._forget_what_changed()
            return [self._of(entities, keys) for entities, keys in wanted]

    def _forget_what_changed(self) -> None:
        """Keep what was read as long as nobody has written to SQLite, which tells that for next to nothing."""
        version = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version or sum(map(len, self._known.values())) > _MOST_KNOWN:
            self._known, self._version = {}, version

    def _of(self, entities: Entities, keys: Sequence[Key]) -> Sequence[Row]:
        known = self._known.setdefault(tuple(entities.keys), {})
        unread = [key for key in keys if key not in known]
        for part in parts(unread, _KEYS_AT_ONCE):
            known |= zip(part, self._read(entities, entities.names(part)), strict=True)
        return [known[key] for key in keys]

    def _read(self, entities: Entities, names: list[bytes]) -> Sequence[Row]:
        rows = Rows(entities, names)
        # The next power of two of them, so that SQLite prepares few statements: the last comes again.
        requested = names + names[-1:] * ((1 << (len(names) - 1).bit_length()) - len(names))
        marks = ",".join("?" * len(requested))
        for view in entities.views:
            text = f"SELECT entity_key, feature_name, value FROM {self._tables[view]} WHERE entity_key IN ({marks})"  # noqa: S608
            rows.fill(self._connection.execute(text, requested))
        return rows.in_order()


class PostgresRows:
    """Feast's tables in PostgreSQL: one statement for all views of all entities."""

    def __init__(self, config: Any, views: Mapping[str, Any]) -> None:
        self._settings, self._tables = config.online_store, {name: table(config, view) for name, view in views.items()}
        self._lock = threading.Lock()
        self._connection: Any = None

    def rows(self, wanted: Wanted) -> list[Sequence[Row]]:
        """Return the kept values of some entities; see :class:`Stored`."""
        from psycopg import OperationalError

        with self._lock:
            try:
                return self._read(wanted)
            except OperationalError:
                if self._connection is None or not self._connection.closed:
                    raise
                self._connection = None  # the server was restarted, or has ended an idle connection
                return self._read(wanted)

    def _read(self, wanted: Wanted) -> list[Sequence[Row]]:
        requested = [(at, view) for at, (entities, _) in enumerate(wanted) for view in entities.views]
        names = [entities.names(keys) for entities, keys in wanted]
        rows = [Rows(entities, named) for (entities, _), named in zip(wanted, names, strict=True)]
        text = " UNION ALL ".join(
            f"SELECT {at}, entity_key, feature_name, value FROM {self._tables[view]} WHERE entity_key = ANY(%b)"  # noqa: S608
            for at, view in requested
        )
        with self._connected().cursor(binary=True) as cursor:
            for at, *kept in cursor.execute(text, [names[at] for at, _ in requested]):
                rows[at].fill((kept,))
        return [each.in_order() for each in rows]

    def _connected(self) -> Any:
        if self._connection is None:
            import psycopg
            from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo

            given = {**_get_conn_kwargs(self._settings), "connect_timeout": SECONDS, "autocommit": True}
            given["options"] += f" -c statement_timeout={SECONDS}s"
            self._connection = psycopg.connect(_get_conninfo(self._settings), **given)
        return self._connection


class Rows:
    """The kept values of some entities, filled from a table that has a row a feature."""

    def __init__(self, entities: Entities, names: list[bytes]) -> None:
        self._places = {feature: place for place, feature in enumerate(entities.features)}
        self._names = names
        self._rows: dict[bytes, list[bytes | None]] = {name: [None] * len(self._places) for name in names}

    def fill(self, kept: Iterable[Sequence[Any]]) -> None:
        """Add values: an entity's name, a feature and its value."""
        for name, feature, value in kept:
            if feature in self._places:  # one that is no longer declared stays in the table
                self._rows[name][self._places[feature]] = value

    def in_order(self) -> list[Row]:
        """Return the values of each entity, in the order of the names."""
        return [self._rows[name] for name in self._names]


class RedisRows:
    """Feast's hashes in Redis, one an entity: all that is asked for is sent before the first answer is read."""

    def __init__(self, feast_store: Any) -> None:
        config = feast_store.config
        client = feast_store.provider.online_store._get_client(config.online_store)  # noqa: SLF001  # the layout is Feast's
        self._pool, self._project = client.connection_pool, config.project.encode()
        self._fields: dict[tuple[str, ...], tuple[bytes, bytes]] = {}

    def rows(self, wanted: Wanted) -> list[Sequence[Row]]:
        """Return the kept values of some entities; see :class:`Stored`."""
        answered = iter([*answers(self._pool, chain.from_iterable(self._commands(*each) for each in wanted))])
        return [[next(answered) for _ in keys] for _, keys in wanted]

    def _commands(self, entities: Entities, keys: Sequence[Key]) -> list[bytes]:
        """Return ``HMGET <entity> <field> ...`` for each entity, in Redis' protocol."""
        given = tuple(entities.keys)
        if given not in self._fields:
            fields = [hash_field(view, name) for view, features in entities.views.items() for name in features]
            head = b"*%d\r\n$5\r\nHMGET\r\n$" % (len(fields) + 2)
            self._fields[given] = head, b"".join(b"\r\n$%d\r\n%b" % (len(field), field) for field in fields) + b"\r\n"
        (head, end), project = self._fields[given], self._project
        size = len(project)
        return [b"%b%d\r\n%b%b%b" % (head, len(name) + size, name, project, end) for name in entities.names(keys)]


def answers(pool: Any, commands: Iterable[bytes]) -> Iterator[Any]:
    """Yield what Redis answers to commands in its protocol.

    Many are sent before the first answer is read, and the next are made while it works on those.

    :param pool: its client's connections.
    """
    connection, left, commands = pool.get_connection(), 0, iter(commands)
    try:
        while part := [*islice(commands, _COMMANDS_AT_ONCE)]:
            connection.send_packed_command([b"".join(part)])
            yield from _read(connection, left)
            left = len(part)
        yield from _read(connection, left)
    except BaseException:
        connection.disconnect()  # the next one would read what is left of these answers
        raise
    finally:
        pool.release(connection)


def _read(connection: Any, count: int) -> Iterator[Any]:
    """Yield answers, lists or numbers. Those that came already are taken from hiredis itself: redis-py, which waits for
    the others, takes longer over each than Redis.
    """
    reader: Any = getattr(getattr(connection, "_parser", None), "_reader", None)
    taken = reader.gets if type(reader).__module__ == "hiredis" else lambda _: None
    for _ in range(count):
        answer = taken(False)  # not decoded
        if type(answer) not in (list, int):
            if isinstance(answer, Exception):
                raise answer
            answer = connection.read_response(disable_decoding=True)
        yield answer


class FeastRows:
    """Any other store of Feast's, through its own reader."""

    def __init__(self, feast_store: Any, shape: Shape, views: Mapping[str, Any], lock: threading.Lock) -> None:
        self._store, self._shape, self._views, self._lock = feast_store, shape, views, lock

    def rows(self, wanted: Wanted) -> list[Sequence[Row]]:
        """Return the kept values of some entities; see :class:`Stored`."""
        with self._lock:
            return [[*self._of(entities, keys)] for entities, keys in wanted]

    def _of(self, entities: Entities, keys: Sequence[Key]) -> Iterator[Row]:
        views = {view.name: view for view in self._shape.views}
        for part in parts(keys, _KEYS_AT_ONCE):
            columns: list[list[Row]] = []
            for name, features in entities.views.items():
                requested = entity_keys(self._shape, views[name], part)
                provider = self._store.provider
                answer = provider.online_read(self._store.config, self._views[name], requested, [*features])
                columns.append([_kept(values or {}, features) for _, values in answer])
            yield from ([*chain.from_iterable(row)] for row in zip(*columns, strict=True))


def _kept(values: Mapping[str, Any], features: Iterable[str]) -> Row:
    return [values[name].SerializeToString() if name in values else None for name in features]
