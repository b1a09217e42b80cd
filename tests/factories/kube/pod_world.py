"""What the tests of pods share: tries of a task, triggers in a triggerer of their own, and a way to the cluster."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.serialization.serialized_objects import BaseSerialization

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.deferral import Deferred
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.kubernetes.settings import Volume
from airflow_mlops_provider.triggers.pods import PodTrigger
from tests.factories.tiny import TinyWorld

LOG = logging.getLogger("tests.pod")


class Store(dict[str, Any]):
    """What Airflow keeps of a task across its tries: plain JSON."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


class Try:
    """One try of a task: its context, as far as a place looks at it.

    :param memory: what the task's tries share.
    :param timeout: the task's ``execution_timeout``.
    :param run_id: of its DAG run; the jobs of a tiny world say ``one``.
    """

    def __init__(self, memory: Store, number: int = 1, timeout: timedelta | None = None, run_id: str = "one") -> None:
        self.ti = SimpleNamespace(
            id=uuid.uuid4(), dag_id="tests", run_id=run_id, task_id="clean", map_index=-1, try_number=number,
            start_date=datetime.now(UTC),
        )  # fmt: skip
        task = SimpleNamespace(execution_timeout=timeout)
        self.context: Any = {"ti": self.ti, "run_id": run_id, "dag": None, "task": task, "task_state_store": memory}


class Task:
    """A task whose tries a test makes, one after another.

    :param timeout: its ``execution_timeout`` in seconds.
    """

    def __init__(self, timeout: float | None = None, run_id: str = "one") -> None:
        self.memory, self.number, self.run_id = Store(), 0, run_id
        self.timeout = timedelta(seconds=timeout) if timeout else None

    def next_try(self) -> Any:
        """Return the context of a new try."""
        self.number += 1
        return Try(self.memory, self.number, self.timeout, self.run_id).context


def connect(monkeypatch: pytest.MonkeyPatch, kubeconfig: Path | str) -> None:
    """Let the connection to the cluster use a kubeconfig file."""
    extra = {"kube_config_path": str(kubeconfig), "namespace": ""}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps({"conn_type": "kubernetes", "extra": extra}))


def stored(waiting: Deferred) -> tuple[PodTrigger, str]:
    """Return a trigger as a triggerer reads it from Airflow's database, and the row that lies there."""
    path, kwargs = waiting.trigger().serialize()
    assert path == f"{PodTrigger.__module__}.PodTrigger"
    text = json.dumps(BaseSerialization.serialize(kwargs))
    return PodTrigger(**BaseSerialization.deserialize(json.loads(text))), text


def fired(trigger: PodTrigger, seconds: float = 30) -> dict[str, Any]:
    """Run a trigger until it fires, and return its event's payload as the worker gets it."""

    async def first() -> dict[str, Any]:
        async for event in trigger.run():
            return dict(event.payload)
        raise AssertionError("the trigger ended without an event")

    payload = asyncio.run(asyncio.wait_for(first(), seconds))
    return json.loads(json.dumps(payload))  # type: ignore[no-any-return]


def deferred(run: Callable[[dict[str, Any] | None], Any]) -> Any:
    """Run something that waits in a triggerer, each time it does so, to its end."""
    event = None
    while True:
        try:
            return run(event)
        except Deferred as waiting:
            event = fired(stored(waiting)[0])


def place_of(world: TinyWorld, **fields: Any) -> KubernetesPod:
    """Return a place for a world's jobs: its artifact root is a folder that pods mount."""
    root = str(world.root)
    return KubernetesPod(
        **{"image": "any", "poll_seconds": 0.1, "volumes": (Volume(path=root, host_path=root),), **fields}
    )


def run_in_pod(place: KubernetesPod, spec: JobSpec, context: Any, secrets: dict[str, str] | None = None) -> Manifest:
    """Run a job at a place, deferrals included."""
    manifest: Manifest = deferred(lambda event: place.run(spec, secrets or {}, LOG, context, event))
    return manifest
