"""Every sensor is a part for anybody's DAG: alone, with a connection, templates, and a trigger that is made again."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, AssetWatcher, conf
from airflow.triggers.base import BaseEventTrigger

from airflow_mlops_provider.get_provider_info import get_provider_info
from airflow_mlops_provider.sensors.base import StateSensor
from tests.factories.waiting import context

#: The least that each is given, none a product's declaration.
GIVEN: dict[str, dict[str, Any]] = {
    "SourceDeliverySensor": {"path": "/in/{{ ds }}/", "marker": "_SUCCESS"},
    "FeastFreshnessSensor": {"view": "stats", "within": timedelta(hours=2)},
    "MlflowModelVersionSensor": {"name": "eta", "alias": "champion"},
    "ModelServerReadySensor": {"version": "{{ params.version }}"},
    "PrometheusQuerySensor": {"query": "up", "comparison": "<", "threshold": "{{ params.least }}"},
    "DriftLimitSensor": {"product": "eta"},
}


def classes() -> Iterator[type[StateSensor]]:
    """Yield the sensors of the modules that Airflow is told of."""
    for module in (name for entry in get_provider_info()["sensors"] for name in entry["python-modules"]):
        for _, value in inspect.getmembers(importlib.import_module(module), inspect.isclass):
            if value.__module__ == module and issubclass(value, StateSensor):
                yield value


SENSORS = sorted(classes(), key=lambda sensor: sensor.__name__)


def test_none_is_forgotten() -> None:
    """Each is tried here."""
    assert {sensor.__name__ for sensor in SENSORS} == GIVEN.keys()


@pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: sensor.__name__)
def test_it_is_a_part_by_itself(sensor: type[StateSensor]) -> None:
    """Made without a product; all that a user would template is a template; Airflow says whether it defers."""
    with DAG("any", schedule=None, params={"version": 7, "least": 0.5}):
        task = sensor(task_id="wait", conn_id="team", **GIVEN[sensor.__name__])
    assert {"conn_id", *GIVEN[sensor.__name__]} <= set(sensor.template_fields)
    default = inspect.signature(StateSensor.__init__).parameters["deferrable"].default
    assert default is conf.getboolean("operators", "default_deferrable", fallback=False)
    assert task.deferrable is (default or sensor.__name__ == "SourceDeliverySensor")


@pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: sensor.__name__)
def test_its_trigger_outlives_a_process(sensor: type[StateSensor]) -> None:
    """What is stored of it makes it again, names a connection and no secret, and serves an asset's watcher."""
    rendered = {**GIVEN[sensor.__name__], "version": "7", "threshold": "0.5"}
    given = {name: rendered.get(name, value) for name, value in GIVEN[sensor.__name__].items()}
    trigger = sensor(task_id="wait", conn_id="team", **given).trigger(context())
    kind, arguments = trigger.serialize()
    assert type(trigger)(**json.loads(json.dumps(arguments))).serialize() == (kind, arguments)
    assert arguments["conn_id"] == "team"
    assert BaseEventTrigger.hash(kind, arguments) == BaseEventTrigger.hash(*type(trigger)(**arguments).serialize())
    assert AssetWatcher(name="any", trigger=trigger).trigger is trigger
