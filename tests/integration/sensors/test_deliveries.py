"""Deliveries in a bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.sensors.features import SourceDeliverySensor
from tests.factories.bucket import s3_server
from tests.factories.waiting import context, fired, waits


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket that the connection ``lake`` leads to, keys and all: the environment knows none."""
    with s3_server() as env:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        extra = {"root": "s3://lake/in", "endpoint_url": env["AWS_ENDPOINT_URL"], "region": "us-east-1"}
        fields = {"conn_type": "mlops_artifact_store", "login": "test", "password": "test", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(fields))
        store = ArtifactStoreHook("lake").get_conn()
        store.client.create_bucket(Bucket="lake")
        yield store


def sensor(path: str, **settings: Any) -> SourceDeliverySensor:
    """Return a sensor for a path in the bucket."""
    return SourceDeliverySensor(task_id="wait", path=path, conn_id="lake", poke_seconds=0.01, **settings)


def test_an_object_is_whole_as_soon_as_it_is_there(lake: Any) -> None:
    """Nothing settles: a bucket shows no half objects."""
    trigger = waits(sensor("s3://lake/in/a.csv", settle_seconds=3600), context())
    events = fired(trigger, lambda: lake.write("a.csv", b"123"), lambda: None)
    assert [(event["delivered"], event["bytes"]) for event in events] == [(["a.csv"], 3)]


def test_many_objects_are_complete_once_no_more_come(lake: Any) -> None:
    """Each is whole, but the next may be on its way; a marker says that there is none. A relative path is the same."""
    lake.write("day/1.csv", b"1")
    for path in ("s3://lake/in/day/*.csv", "day/"):
        assert "was changed" in waits(sensor(path, settle_seconds=3600), context()).look().text
        assert sensor(path, settle_seconds=0).execute(context())["files"] == 1
    wanted = sensor("day/", marker="_SUCCESS", settle_seconds=3600)
    waits(wanted, context())
    lake.write("day/_SUCCESS", b"")
    assert wanted.execute(context())["delivered"] == ["_SUCCESS"]
