"""Queries of a real Prometheus, and limits by the records of monitoring."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.prometheus import PrometheusHook
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring.limits import Judgement, Observation
from airflow_mlops_provider.sensors.monitoring import DriftLimitSensor, PrometheusQuerySensor
from airflow_mlops_provider.storage.intervals import judge
from airflow_mlops_provider.triggers.monitoring import compared
from tests.factories import prometheus
from tests.factories.ports import free_port
from tests.factories.waiting import context, fired, waits

DAY = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Prometheus that scrapes nothing but itself."""
    with prometheus.server(tmp_path_factory.mktemp("prometheus")) as port:
        yield port


@pytest.fixture
def sensor(metrics: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes a sensor, with the connection to that server."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    address = {"conn_type": "prometheus", "host": "127.0.0.1", "port": metrics}
    monkeypatch.setenv("AIRFLOW_CONN_METRICS", json.dumps(address))
    monkeypatch.setenv("AIRFLOW_CONN_GONE", json.dumps({**address, "port": free_port()}))
    given = {"task_id": "query", "conn_id": "metrics", "poke_interval": 0, "deferrable": True}
    return lambda *asks, **more: PrometheusQuerySensor(
        query=asks[0], comparison=asks[1], threshold=asks[2], **{**given, **more}
    )


@pytest.mark.parametrize(
    ("asks", "values"),
    [
        (("vector(0.2)", ">", 0.1), [0.2]),
        (("scalar(vector(3))", "<=", "3"), [3]),
        (('label_replace(vector(1), "x", "a", "", "") or vector(9)', ">", 5), [1, 9]),
    ],
)
def test_a_value_that_compares_as_it_should(sensor: Any, asks: Any, values: list[float]) -> None:
    """Of a number, of a vector; a threshold may come from a template as text."""
    done = sensor(*asks).execute(context())
    assert (done["query"], sorted(done["values"])) == (asks[0], values)


def test_no_value_compares_with_nothing(sensor: Any) -> None:
    """Where there is no series yet, and where it is not a number, it goes on waiting; also for !=."""
    for query in ("absent_metric", "vector(0) / 0"):
        trigger = waits(sensor(query, "!=", 5), context())
        assert fired(trigger, lambda: None) == []


def test_the_trigger_fires_once_it_holds(sensor: Any) -> None:
    """By the server's own clock, which will have gone on."""
    now = httpx.Client(trust_env=False).get(f"{PrometheusHook('metrics').url}/api/v1/query?query=time()").json()
    trigger = waits(sensor("time()", ">", float(now["data"]["result"][1]) + 1), context())
    assert len(fired(trigger, lambda: time.sleep(1.5), lambda: None)) == 1


def test_what_cannot_be_asked_is_told(sensor: Any) -> None:
    """A wrong query is not retried, a server that is not there is; a comparison is one of six, never code."""
    with pytest.raises(AirflowFailException, match="can't evaluate 'sum\\('"):
        sensor("sum(", ">", 1).execute(context())
    with pytest.raises(AirflowFailException, match="gives a matrix"):
        sensor("up[5m]", ">", 1).execute(context())
    with pytest.raises(BackendError, match="does not answer"):
        sensor("up", ">", 1, conn_id="gone").execute(context())
    with pytest.raises(ConfigurationError, match="allowed: <, <=, ==, !=, >=, >"):
        sensor("up", "__import__('os')", 1)


@pytest.mark.parametrize(
    ("values", "series", "holds"),
    [
        ([1.0, 3.0], "any", True),
        ([1.0, 3.0], "all", False),
        ([3.0, 4.0], "all", True),
        ([3.0, math.nan], "all", False),
        ([3.0, math.nan], "any", True),
        ([math.nan], "any", False),
        ([], "all", False),
        ([2.0], "any", False),
    ],
)
def test_the_decision(values: list[float], series: str, holds: bool) -> None:
    """Any series, or all of them; nothing is no answer."""
    assert (compared("q", values, ">", 2.0, series).state is not None) is holds


def test_a_limit_that_monitoring_found_crossed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the records of any product, without its declaration; only the newest interval counts."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path))
    store = ArtifactStoreHook().get_conn()

    def judged(day: int, *crossed: str) -> None:
        interval = Interval(start=DAY + timedelta(days=day), end=DAY + timedelta(days=day + 1))
        seen = Observation(interval=interval, version=3, drift_share=0.6, prediction_drift=0.1)
        judge(store, "eta", Judgement(observation=seen, crossed=crossed, predictions="p", features="f"))

    sensor = DriftLimitSensor(task_id="drift", product="eta", deferrable=True)
    trigger = waits(sensor, context())
    events = fired(
        trigger,
        lambda: judged(1),
        lambda: judged(2, "60% drifted"),
        lambda: judged(2, "60% drifted"),
        lambda: judged(3),
    )
    assert [(event["version"], event["crossed"]) for event in events] == [(3, ["60% drifted"])]
    waits(sensor, context())
