"""Feast's items in DynamoDB, one an entity and view: many are read, and written, by one request."""

from __future__ import annotations

import json
import random
import time
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_mlops_provider.backends.feature_store.feast.layout import Entities, Row, Wanted, parts
from airflow_mlops_provider.exceptions import BackendError

_MOST_READ, _MOST_WRITTEN = 100, 25  # items in a request, by DynamoDB's own limits
_WRITERS = 8  # requests at a time
_PAUSE = 0.05  # seconds before what was left undone is tried again, doubled each time
_SECONDS_TO_WRITE = 60  # of such pauses: capacity that grows with what is asked of it takes as long
_NOTHING: Mapping[str, Any] = {}

Item = Mapping[str, Any]


class DynamoDBRows:
    """Features are read from all tables together; who reads may do so from several threads.

    :param config: of Feast's own store.
    :param views: as Feast's registry has them, by name.
    :param seconds: that a request waits for an answer, however often it is tried.
    """

    def __init__(self, config: Any, views: Mapping[str, Any], seconds: float) -> None:
        settings = config.online_store
        self._tables = {name: _table(config, view) for name, view in views.items()}
        self._consistent, self._seconds = settings.consistent_reads, seconds
        self._size = min(settings.batch_size, _MOST_READ)
        # Two attempts: a connection that was kept may have ended meanwhile.
        self._client, self._pool = _client(settings, seconds / 2, 2), ThreadPoolExecutor(settings.max_read_workers)
        self._client.meta.events.register("before-parse.dynamodb.BatchGetItem", _as_sent)

    def rows(self, wanted: Wanted) -> list[Sequence[Row]]:
        """Return the kept values of some entities; see ``Stored``."""
        names = [_names(entities.names(keys)) for entities, keys in wanted]
        # An entity that is named in two ways comes once: DynamoDB refuses a key that is there again.
        requested = dict.fromkeys(
            (self._tables[view], name)
            for (entities, _), named in zip(wanted, names, strict=True)
            for view in entities.views
            for name in named
        )
        chunks, found = [*parts([*requested], self._size)], dict[tuple[str, str], Item]()
        for items in self._pool.map(self._read, chunks) if len(chunks) > 1 else map(self._read, chunks):
            found |= items
        return [
            [self._row(found, entities, name) for name in named]
            for (entities, _), named in zip(wanted, names, strict=True)
        ]

    def _read(self, chunk: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        keys: dict[str, list[Item]] = {}
        for table, name in chunk:
            keys.setdefault(table, []).append({"entity_id": {"S": name}})
        requested = {table: {"Keys": named, "ConsistentRead": self._consistent} for table, named in keys.items()}
        return {
            (table, item["entity_id"]["S"]): item["values"]["M"]
            for answer in _answers(self._client.batch_get_item, requested, "UnprocessedKeys", self._seconds)
            for table, items in answer["Responses"].items()
            for item in items
        }

    def _row(self, found: Mapping[tuple[str, str], Item], entities: Entities, name: str) -> Row:
        row = list[bytes | None]()
        for view, features in entities.views.items():
            kept = found.get((self._tables[view], name), _NOTHING)
            row += (a2b_base64(kept[feature]["B"]) if feature in kept else None for feature in features)
        return row


def write(config: Any, view: Any, batches: Iterable[tuple[list[bytes], list[str], Mapping[str, list[bytes]]]]) -> None:
    """Put an item an entity in place of what is there; memory holds a batch.

    :param config: of Feast's own store.
    :param view: Feast's own.
    :param batches: names of entities, each once; since when each's values are known; each feature's values.
    """
    client, table = _client(config.online_store, 5, 8), _table(config, view)

    def put(items: Sequence[Item]) -> None:
        requested = {table: [{"PutRequest": {"Item": item}} for item in items]}
        for _ in _answers(client.batch_write_item, requested, "UnprocessedItems", _SECONDS_TO_WRITE):
            pass

    with ThreadPoolExecutor(_WRITERS) as pool:
        for batch in batches:
            for _ in pool.map(put, parts([*_items(*batch)], _MOST_WRITTEN)):
                pass


def _items(names: list[bytes], moments: list[str], values: Mapping[str, list[bytes]]) -> Iterator[Item]:
    for name, moment, *kept in zip(_names(names), moments, *values.values(), strict=True):
        by_feature = {feature: {"B": value} for feature, value in zip(values, kept, strict=True)}
        yield {"entity_id": {"S": name}, "event_ts": {"S": moment}, "values": {"M": by_feature}}


def _answers(call: Callable[..., Any], requested: Any, undone: str, seconds: float) -> Iterator[Any]:
    """Yield what DynamoDB answers until nothing of what was requested is left undone.

    :param undone: where an answer says what is.
    :param seconds: of pauses, after which it is given up.
    :raises BackendError: if it is.
    """
    waited, pause = 0.0, _PAUSE
    while True:
        answer = call(RequestItems=requested)
        yield answer
        requested = answer[undone]
        if not requested:
            return
        if waited >= seconds:
            tables = ", ".join(sorted(requested))
            raise BackendError(f"DynamoDB left items of {tables} undone for {seconds:g} s: it has no capacity for them")
        wait = random.uniform(pause / 2, pause)  # noqa: S311  # so that not all come again together
        time.sleep(wait)
        waited, pause = waited + wait, 2 * pause


def _as_sent(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Take an answer as it was sent: botocore looks at the declared shape of each value, for most of a look-up."""
    if response_dict["status_code"] == 200:
        customized_response_dict.update(json.loads(response_dict["body"]))
        response_dict["body"] = b"{}"


def _client(settings: Any, seconds: float, attempts: int) -> Any:
    """Return a client of DynamoDB's; keys are found where boto3 finds them.

    :param settings: Feast's of the online store: what they say of waiting and trying again goes before ours.
    :param seconds: for a connection, and for an answer.
    :param attempts: of a request that fails.
    """
    import boto3
    from botocore.config import Config
    from feast.utils import get_user_agent

    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    config = Config(
        user_agent=get_user_agent(),
        parameter_validation=False,
        max_pool_connections=settings.max_pool_connections,
        connect_timeout=given.get("connect_timeout", seconds),
        read_timeout=given.get("read_timeout", seconds),
        retries={
            "total_max_attempts": given.get("total_max_retry_attempts") or attempts,
            "mode": given.get("retry_mode") or "standard",
        },
    )
    # A session of its own: the shared one is not for threads.
    return boto3.session.Session().client(
        "dynamodb", region_name=settings.region, endpoint_url=settings.endpoint_url, config=config
    )


def _table(config: Any, view: Any) -> str:
    from feast.infra.online_stores.dynamodb import _get_table_name

    return str(_get_table_name(config.online_store, config, view))


def _names(names: Iterable[bytes]) -> list[str]:
    """Return what Feast makes of entities' names for DynamoDB: a hash of each."""
    from mmh3 import hash_bytes

    return [hash_bytes(name).hex() for name in names]
