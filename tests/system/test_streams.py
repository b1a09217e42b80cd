"""In a real Airflow: a stream is landed by an asset watcher, also across a killed triggerer, and a run extracts it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.demo.local_airflow.stack import Stack
from tests.factories import redis
from tests.factories.stack import restart

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

DAGS = """
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_mlops_provider.triggers.streams import StreamTrigger

sales = StreamTrigger(
    stream="sales", path="sales/{start:%Y-%m}/", schedule="@monthly", start="2024-01-01T00:00:00+00:00",
    json_field="sale", conn_id="till", batch=100, seconds=0.5,
)
with DAG("on_sales", schedule=[Asset("sales", watchers=[AssetWatcher(name="sales", trigger=sales)])]):
    task(lambda: None, task_id="done")()
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Redis, as producers see it."""
    with redis.server(tmp_path_factory.mktemp("redis")) as port:
        from redis import Redis

        yield Redis(port=port, password=redis.PASSWORD)


def until(what: str, holds: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait until something holds, and return what it gave."""
    ends = time.monotonic() + seconds
    while not (given := holds()):
        assert time.monotonic() < ends, f"waited in vain until {what}"
        time.sleep(0.5)
    return given


def test_a_watcher_lands_each_entry_once(client: Any, stack_factory: Callable[..., Stack], tmp_path: Path) -> None:
    """Its triggerer is killed while entries come in; all are landed in their order, and runs were started."""
    dags, landing = tmp_path / "dags", tmp_path / "landing"
    dags.mkdir()
    (dags / "sales.py").write_text(DAGS)
    till = {"conn_type": "redis", "host": "127.0.0.1", "port": client.connection_pool.connection_kwargs["port"]}
    settings = {
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__MLOPS__LANDING_ROOT": str(landing),
        "AIRFLOW_CONN_TILL": json.dumps({**till, "password": redis.PASSWORD}),
    }
    airflow = stack_factory(dags, env=settings)
    ids: list[str] = []

    def sell(count: int) -> None:
        for _ in range(count):
            ids.append(client.xadd("sales", {"sale": json.dumps({"number": len(ids)})}).decode())

    def landed() -> list[str]:
        files = sorted(landing.rglob("*.jsonl"))
        return [json.loads(line)["_entry_id"] for file in files for line in file.read_text().splitlines()]

    sell(1)
    until("the first is landed", lambda: landed() == ids)
    process = airflow._started["triggerer"].process()
    assert process is not None
    for _ in range(20):
        sell(50)
        time.sleep(0.1)
    process.kill()
    process.wait(30)
    sell(500)
    restart(airflow, "triggerer")
    until("all are landed", lambda: len(landed()) >= len(ids))
    time.sleep(3)
    assert landed() == ids
    until("runs were started", lambda: [r["state"] for r in airflow.api.dag_runs("on_sales")][:1] == ["success"])
    kept = b"".join(file.read_bytes() for file in airflow.home.glob("airflow.db*"))
    assert b"StreamTrigger" in kept
    assert redis.PASSWORD.encode() not in kept
