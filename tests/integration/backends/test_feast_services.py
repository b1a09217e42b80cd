"""A team's Feast repository on servers: registry in PostgreSQL, Redis online, DuckDB offline, secrets by connection."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.backends.feature_store.feast.historical import retrieve
from airflow_mlops_provider.backends.feature_store.feast.push import push
from airflow_mlops_provider.backends.feature_store.feast.repository import FeastRepository
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError
from airflow_mlops_provider.hooks.feast import FeastHook
from tests.factories import postgres
from tests.factories.feast_repository import at, shops
from tests.factories.ports import free_port

pytestmark = [
    *postgres.NEEDED,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]

PASSWORD = "open-sesame"
YAML = """
project: shops
provider: local
registry:
  registry_type: sql
  path: postgresql+psycopg2://feast:${REGISTRY_PASSWORD}@127.0.0.1:POSTGRES/postgres
online_store:
  type: redis
  connection_string: 127.0.0.1:REDIS,password=${MLOPS_ONLINE_STORE_PASSWORD}
offline_store: {type: duckdb}
entity_key_serialization_version: 3
"""

Redis = Callable[[], Any]


@pytest.fixture(scope="module")
def registry() -> Iterator[int]:
    """The port of the registry's PostgreSQL."""
    with postgres.server("feast", PASSWORD) as port:
        yield port


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[int, Redis]]:
    """A port, and what starts a Redis there for as long as a block takes."""
    pytest.importorskip("redis", reason="redis is not installed")
    port = free_port()

    @contextmanager
    def run() -> Iterator[None]:
        command = ["redis-server", "--port", str(port), "--requirepass", PASSWORD, "--save", "", "--dir", str(tmp_path)]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert running.stdout
        assert any("Ready to accept" in line for line in running.stdout)
        yield
        running.terminate()
        running.wait()

    return port, run  # type: ignore[return-value]


@pytest.fixture
def hook(tmp_path: Path, registry: int, redis: tuple[int, Redis], monkeypatch: pytest.MonkeyPatch) -> FeastHook:
    """The connection of the repository, which holds its secrets; none is in the environment."""
    folder = shops(tmp_path / "shops")
    yaml = YAML.replace("POSTGRES", str(registry)).replace("REDIS", str(redis[0]))
    (folder / "feature_store.yaml").write_text(yaml)
    extra = {"repository": str(folder), "secrets": {"REGISTRY_PASSWORD": PASSWORD}}
    connection = {"conn_type": "feast", "password": PASSWORD, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_FEAST_TEAM", json.dumps(connection))
    return FeastHook("feast_team")


def test_a_repository_on_servers(hook: FeastHook, redis: tuple[int, Redis]) -> None:
    """Applied, materialized, retrieved and tried like one of files, with the passwords of the connection."""
    with redis[1]():
        repository = hook.open()
        assert "feature view sales" in repository.apply()["added"]
        assert hook.open().apply() == {"added": [], "changed": [], "removed": []}
        assert hook.test_connection()[0]
        repository.materialize(None, at(1), at(4))
        online = hook.get_conn().get_online_features(features=["sales:sales"], entity_rows=[{"shop_id": 1}])
        assert online.to_dict()["sales"] == [20.0]
        rows = {"shop_id": [1, 1, 2, 9, None], "event_timestamp": [at(3, 12)] * 5, "rate": [1.0, 2.0, 1.0, 1.0, 1.0]}
        got = retrieve(hook.open(), pa.table(rows), service="shop_v1")
    assert got.table.select(["sales", "staff", "per_visit"]).to_pydict() == {
        "sales": [20.0, 20.0, None, None, None],
        "staff": [2, 2, 4, None, None],
        "per_visit": [5.0, 10.0, None, None, None],
    }
    assert got.unmatched == {"sales": 3, "staff": 2, "money": 3}


def test_a_push_that_was_broken_off(hook: FeastHook, redis: tuple[int, Redis]) -> None:
    """Redis is away while rows are pushed to both stores: again, they come online, and not offline a second time."""
    rows = pa.table({"shop_id": [1], "sales": [30.0], "visits": [7], "at": [at(5)], "created": [at(6)]})
    file = hook.repository() / "data" / "sales.parquet"
    with redis[1]():
        hook.open().apply()
    with pytest.raises(BackendError, match="push to tills: ConnectionError"):
        push(hook.open(), "tills", rows, "online_and_offline")
    assert pq.read_metadata(file).num_rows == 5
    with redis[1]():
        counts = push(hook.open(), "tills", rows, "online_and_offline")
        assert counts == {"views": ["sales"], "offline": 0, "online": 1}
    assert pq.read_metadata(file).num_rows == 5


def test_a_registry_that_refuses(hook: FeastHook) -> None:
    """A wrong password is told without showing one; a retry may help."""
    repository = FeastRepository(hook.repository(), {**hook.secrets(), "REGISTRY_PASSWORD": "wrong-one"})
    with pytest.raises((BackendError, ConfigurationError), match="password authentication failed") as raised:
        repository.views()
    assert isinstance(raised.value, BackendError)
    assert "wrong-one" not in str(raised.value)
