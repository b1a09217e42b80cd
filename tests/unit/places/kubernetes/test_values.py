"""The pod as default place, the retries of jobs, and operators that go on after a deferral."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, RetryAction
from airflow.sdk.exceptions import TaskDeferred
from airflow.serialization.serialized_objects import DagSerialization

from airflow_mlops_provider import exceptions
from airflow_mlops_provider.exceptions import ConfigurationError, JobError, MLOpsError, UnknownNameError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.operators.features import RulesCleanIntervalOperator
from airflow_mlops_provider.pipelines import defaults
from airflow_mlops_provider.places.base import Place
from airflow_mlops_provider.places.default import default_place
from airflow_mlops_provider.places.deferral import Deferred
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.kubernetes.values import SecretKey
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.places.retry_policy import JobRetryPolicy
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.triggers.pods import PodTrigger
from tests.factories.tiny import TinyWorld

ERRORS = sorted(
    name
    for name, kind in vars(exceptions).items()
    if isinstance(kind, type) and issubclass(kind, MLOpsError) and kind is not UnknownNameError
)
WATCH: dict[str, Any] = {
    "access": {"conn_id": "kubernetes_default"}, "namespace": "ml", "name": "pod", "watch": {}, "passed": {},
}  # fmt: skip


# --- the default place ------------------------------------------------------------------------------------------------


def test_configuration_moves_jobs_into_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same DAG file runs its jobs where configuration says, in a pod as it is described there."""
    assert isinstance(default_place(), LocalProcess)
    fields = {
        "image": "jobs:1",
        "memory": "4Gi",
        "secrets": {"MLFLOW_TRACKING_TOKEN": {"name": "mlflow", "key": "token"}},
    }
    monkeypatch.setenv("AIRFLOW__MLOPS__DEFAULT_PLACE", "kubernetes_pod")
    monkeypatch.setenv("AIRFLOW__MLOPS__KUBERNETES_POD", json.dumps(fields))
    key = SecretKey(name="mlflow", key="token")
    assert default_place() == KubernetesPod(image="jobs:1", memory="4Gi", secrets={"MLFLOW_TRACKING_TOKEN": key})


@pytest.mark.parametrize(
    ("place", "pod", "said"),
    [
        (
            "kubernetes_pod",
            '{"image": "x", "gpu": 1}',
            "kubernetes_pod: .*no field 'gpu'; known: active_deadline_seconds",
        ),
        ("kubernetes_pod", "", "image"),
        ("kubernetes_pod", "{", "Invalid JSON"),
        ("pod", "", "unknown place in .* 'pod'; known: kubernetes_pod, local_process"),
    ],
)
def test_a_wrong_default_is_refused(monkeypatch: pytest.MonkeyPatch, place: str, pod: str, said: str) -> None:
    """A place that cannot work is refused where the task begins, by the option and the field."""
    monkeypatch.setenv("AIRFLOW__MLOPS__DEFAULT_PLACE", place)
    monkeypatch.setenv("AIRFLOW__MLOPS__KUBERNETES_POD", pod)
    with pytest.raises((ConfigurationError, UnknownNameError), match=f"(?s){said}"):
        default_place()


# --- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ERRORS)
def test_the_policy_on_each_error(name: str) -> None:
    """What no retry mends ends the task; out of memory is tried at once, the cluster's trouble later and later."""
    kind = getattr(exceptions, name)
    policy = JobRetryPolicy(timedelta(seconds=10))
    actions = [policy.evaluate(kind("why"), number, 5).action for number in (1, 2)]
    delays = [policy.evaluate(kind("why"), number, 5).retry_delay for number in (1, 2, 3, 40)]
    if not kind.retryable:
        assert actions == [RetryAction.FAIL] * 2
    elif name == "OutOfMemoryError":
        assert (actions, delays) == ([RetryAction.RETRY] * 2, [timedelta(0)] * 4)
    elif name in {
        "BackendError",
        "EvictedError",
        "ImagePullError",
        "NodeLostError",
        "PodStartError",
        "UnschedulableError",
    }:
        assert delays == [timedelta(seconds=10), timedelta(seconds=20), timedelta(seconds=40), timedelta(minutes=30)]
    else:
        assert actions == [RetryAction.DEFAULT] * 2


def test_the_policy_leaves_other_errors_alone() -> None:
    """What is none of ours is Airflow's to decide; one of ours that says no retry helps is heard."""
    assert JobRetryPolicy().evaluate(OSError("disk"), 1, 2).action is RetryAction.DEFAULT
    error = JobError("KeyError: 'amount'")
    error.retryable = False
    assert JobRetryPolicy().evaluate(error, 1, 2).action is RetryAction.FAIL


def test_pipelines_carry_the_policy(make: Callable[..., TinyWorld]) -> None:
    """The reference pipelines' tasks have it, their DAGs still serialise, and it comes back from plain JSON."""
    world = make()
    with DAG("any", schedule=None, **defaults(world.product, "")) as dag:
        task = RulesCleanIntervalOperator(task_id="clean", product=world.product, raw={})
    assert isinstance(task.retry_policy, JobRetryPolicy)
    told = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    assert DagSerialization.from_dict(told).task_dict["clean"].has_retry_policy
    back = JobRetryPolicy.deserialize(json.loads(json.dumps(task.retry_policy.serialize())))
    assert back.delay == task.retry_policy.delay == timedelta(seconds=30)


# --- resuming ---------------------------------------------------------------------------------------------------------


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
    assert list(pushed) == ["mlops_manifest"]


def test_a_trigger_is_made_again_from_what_it_tells() -> None:
    """What a trigger stores makes the same trigger, and holds names and numbers only."""
    path, told = PodTrigger(**WATCH).serialize()
    assert path == "airflow_mlops_provider.triggers.pods.PodTrigger"
    assert PodTrigger(**json.loads(json.dumps(told))).serialize() == (path, told)
