"""Operators that go on after a deferral."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.operators.features import RulesCleanIntervalOperator
from airflow_mlops_provider.places.base import Place, record_of
from airflow_mlops_provider.places.deferral import Deferred
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.triggers.pods import PodTrigger
from tests.factories.tiny import TinyWorld

WATCH: dict[str, Any] = {
    "access": {"conn_id": "kubernetes_default"}, "namespace": "ml", "name": "pod", "watch": {}, "passed": {},
}  # fmt: skip


class Deferring(Place):
    """A place whose job goes on without it when it is first run."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest, self.events = manifest, []  # type: ignore[var-annotated]

    def run(self, spec: Any, secrets: Any, log: Any, context: Any = None, event: Any = None) -> Manifest:
        self.events.append(event)
        if event is None:
            raise Deferred(f"{PodTrigger.__module__}.PodTrigger", WATCH)
        return self.manifest

    def stop(self) -> None:
        """Nothing runs."""


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("died", [False, True])
def test_an_operator_goes_on_where_it_stood(
    make: Callable[..., TinyWorld], tmp_path: Path, mapped: bool, died: bool
) -> None:
    """Deferred and resumed, also by a trigger's death, mapped or not, an operator hands on what it would have else."""
    world = make()
    place, raw = Deferring(run(world.cleaning())), world.extracted().to_json()
    with DAG("any", schedule=None):
        if mapped:
            task = RulesCleanIntervalOperator.partial(task_id="clean", product=world.product, place=place).expand(
                raw=[raw]
            )
            task = task.unmap({"raw": raw})
        else:
            task = RulesCleanIntervalOperator(task_id="clean", product=world.product, place=place, raw=raw)
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="tests", run_id="one", task_id="clean", map_index=0 if mapped else None, try_number=1,
        xcom_push=lambda key, value: pushed.update({key: value}),
    )  # fmt: skip
    context: Any = {"ti": ti, "params": {}, "outlet_events": {}}
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    assert deferred.value.trigger.serialize()[1].items() >= {"name": "pod", "namespace": "ml"}.items()
    assert deferred.value.timeout is None
    method, kwargs = (
        ("__fail__", {"traceback": ["out of luck"]})
        if died
        else (deferred.value.method_name, {"event": {"name": "pod"}})
    )
    handed = task.resume_execution(method, kwargs, context)
    assert handed == place.manifest.result.to_json()  # type: ignore[union-attr]
    assert place.events == [None, {"stay": True} if died else {"name": "pod"}]
    assert pushed == {}
    assert task.record == record_of(place.manifest, RunIdentity.of(ti))
