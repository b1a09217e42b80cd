"""Redis keeps what every server of streams keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from airflow_mlops_provider.backends.streams.base import Address
from airflow_mlops_provider.backends.streams.redis import Redis
from airflow_mlops_provider.testing import StreamServerContract
from tests.factories import redis


class TestRedis(StreamServerContract):
    """A Redis of its own."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Redis]:
        """One that wants a password."""
        with redis.server(tmp_path) as port:
            yield Redis(Address("127.0.0.1", port, None, redis.PASSWORD, {}))

    @pytest.fixture
    def add(self, server: Redis) -> Callable[[Mapping[str, str]], None]:  # type: ignore[override]
        """As a producer does."""
        return lambda fields: server.client.xadd("orders", fields)

    @pytest.fixture
    def give_up(self, server: Redis) -> Callable[[int], None]:  # type: ignore[override]
        """By trimming."""
        client = server.client
        return lambda count: client.xtrim("orders", maxlen=client.xlen("orders") - count, approximate=False)
