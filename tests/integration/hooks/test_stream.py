"""A connection to a real server of streams."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends.streams.base import Position
from airflow_mlops_provider.exceptions import ConfigurationError, SourceError
from airflow_mlops_provider.hooks.stream import StreamHook
from tests.factories import redis

AFTER = Position(since=datetime(2024, 1, 1, tzinfo=UTC))
RIGHTS = "+xrange +xinfo +exists +time +multi +exec +info ~sales"


@pytest.fixture
def define(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StreamHook]]:
    """Define the connection ``till`` otherwise than as one to a Redis, and return its hook."""
    with redis.server(tmp_path) as port:

        def make(**changes: Any) -> StreamHook:
            known = {"conn_type": "mlops_stream", "host": "127.0.0.1", "port": port, "password": redis.PASSWORD}
            monkeypatch.setenv("AIRFLOW_CONN_TILL", json.dumps({**known, **changes}))
            return StreamHook("till")

        yield make


def test_it_is_tried(define: Callable[..., StreamHook]) -> None:
    """With its password, whichever type it is of; a wrong one and a missing server are said, without a password."""
    for kind in ("mlops_stream", "redis"):
        works, message = define(conn_type=kind).test_connection()
        assert (works, message.startswith("Redis 7")) == (True, True), message
    for changes in ({"password": "sesame2"}, {"port": 1}):
        works, message = define(**changes).test_connection()
        assert (works, "sesame" in message) == (False, False)
        assert "Redis at 127.0.0.1:" in message
    assert StreamHook().test_connection() == (False, "connection 'mlops_stream': isn't defined; add it")


def test_without_its_library(define: Callable[..., StreamHook], monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that installs it is said."""
    monkeypatch.setitem(sys.modules, "redis", None)
    works, message = define().test_connection()
    assert (works, "pip install 'airflow-mlops-provider[redis]'" in message) == (False, True)


def test_a_database_of_its_own(define: Callable[..., StreamHook]) -> None:
    """A stream lies in the database that the connection names."""
    define(extra={"db": "2"}).get_conn().client.xadd("sales", {"n": "1"})
    assert len(define(extra={"db": "2"}).server().read("sales", AFTER, 9).entries) == 1
    with pytest.raises(SourceError, match=r"'sales' .* is not there yet"):
        define().server().read("sales", AFTER, 9)


def test_the_rights_that_will_do(define: Callable[..., StreamHook]) -> None:
    """A user who may do what the page says can be the connection's, and a stream beyond these is refused."""
    client = define().get_conn().client
    client.xadd("sales", {"n": "1"})
    client.xadd("wages", {"n": "1"})
    client.execute_command("ACL", "SETUSER", "lander", "on", ">open-sesame", *RIGHTS.split())
    server = define(login="lander").server()
    assert server.probe().startswith("Redis 7")
    assert len(server.read("sales", AFTER, 9).entries) == 1
    with pytest.raises(SourceError, match="NoPermission"):
        server.read("wages", AFTER, 9)


@pytest.mark.parametrize(
    ("extra", "wrong"),
    [
        ({"db": "first"}, "does not take the database 'first'"),
        ({"sll": "true"}, "does not take sll; give db"),
        ({"kind": "kafka"}, "unknown kind of streams 'kafka'; known: redis"),
        ({"kind": "math:pi"}, "names 3.14"),
    ],
)
def test_fields_that_can_not_work(define: Callable[..., StreamHook], extra: dict[str, str], wrong: str) -> None:
    """Are named with what is allowed."""
    with pytest.raises(ConfigurationError, match=wrong):
        define(extra=extra).server().read("sales", AFTER, 9)


def test_tls_is_spoken_where_it_is_wanted(define: Callable[..., StreamHook], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not is not talked to in plain text, nor waited for."""
    monkeypatch.setattr("airflow_mlops_provider.backends.streams.redis.TIMEOUT", 1)
    with pytest.raises(SourceError, match=r"did not answer: \w*Error"):
        define(extra={"ssl": "true"}).server().read("sales", AFTER, 9)
