"""Pods in a real Airflow, with its scheduler, triggerer and retries: out of memory, wrong code, no time, stopped."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from airflow_mlops_provider.demo.local_airflow.stack import Stack
from tests.factories.kube.node import Life
from tests.factories.kube.steps import work
from tests.factories.kube.world import KubeWorld
from tests.factories.stack import pids, restart
from tests.factories.tiny import TinyWorld

pytestmark = pytest.mark.system
DAG = """
from datetime import UTC, datetime, timedelta
from pathlib import Path
from airflow.sdk import DAG, CronDataIntervalTimetable
from airflow_mlops_provider.discovery import products
from airflow_mlops_provider.operators.features import FeaturesComputeIntervalOperator, RulesCleanIntervalOperator
from airflow_mlops_provider.operators.features import SourceExtractIntervalOperator
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.kubernetes.settings import Volume
from airflow_mlops_provider.places.retry_policy import JobRetryPolicy

(product,) = products([Path({products!r})], [])
pod = KubernetesPod(image="jobs", memory="1Gi", poll_seconds=0.3, termination_grace_seconds=1,
                    volumes=(Volume(path={root!r}, host_path={root!r}),))
retries = {{"retries": 2, "retry_delay": timedelta(minutes=9), "retry_policy": JobRetryPolicy(timedelta(seconds=1))}}

with DAG("pods", schedule=CronDataIntervalTimetable("0 0 * * *", "UTC"), start_date=datetime(2024, 1, 1, tzinfo=UTC),
         end_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=True, default_args=retries):
    raw = SourceExtractIntervalOperator(task_id="extract", product=product, retry_delay=timedelta(seconds=1)).output
    clean = {{"product": product, "raw": raw, "place": pod, "force": True}}
    hungry = RulesCleanIntervalOperator(task_id="hungry", **clean)
    RulesCleanIntervalOperator(task_id="late", retries=0, execution_timeout=timedelta(seconds=20), **clean)
    RulesCleanIntervalOperator(task_id="stopped", **clean)
    FeaturesComputeIntervalOperator(task_id="wrong", product=product, clean=hungry.output, place=pod)
"""


def live(life: Life) -> None:
    """Live as the pod's task wants it: run on for ever, or work, which takes 3 GiB where it is hungry."""
    task = life.pod["metadata"]["labels"]["mlops/task"]
    life.place("node-1")
    if task in {"late", "stopped"}:
        life.begin()
        life.say(f"{task} is up")
    else:
        work("3Gi" if task == "hungry" else "0")(life)


class Run:
    """The one run of the DAG."""

    def __init__(self, stack: Stack, kube: KubeWorld) -> None:
        self.stack, self.kube = stack, kube

    @property
    def run_id(self) -> str:
        return self.until(lambda: self.stack.api.dag_runs("pods"))[0]["dag_run_id"]  # type: ignore[no-any-return]

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Return the run's task instances by name."""
        return {one["task_id"]: one for one in self.stack.api.task_instances("pods")}

    def state(self, task: str) -> str | None:
        """Return a task instance's state."""
        return self.tasks().get(task, {}).get("state")

    def until(self, holds: Callable[[], Any], seconds: float = 150) -> Any:
        """Wait until something holds, and return it."""
        ends = time.monotonic() + seconds
        while not (found := holds()):
            states = {name: (one["state"], one["try_number"]) for name, one in self.tasks().items()}
            assert time.monotonic() < ends, (states, self.kube.names())
            time.sleep(0.3)
        return found


@pytest.fixture(scope="module")
def run(stack_factory: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Let the run go to its end: one task is stopped by hand, the triggerer is killed while it waits for another."""
    folder = tmp_path_factory.mktemp("pods")
    world, dags = TinyWorld(folder), folder / "dags"
    dags.mkdir()
    (dags / "pods.py").write_text(textwrap.dedent(DAG).format(products=str(world.products), root=str(world.root)))
    kube = KubeWorld(folder, {"PYTHONPATH": str(world.products)})
    kube.ordinary = (live,)
    connection = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(kube.config)}}
    env = {
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection),
        "AIRFLOW__MLOPS__ARTIFACT_ROOT": str(world.root),
        "AIRFLOW__MLOPS__LANDING_ROOT": str(world.landing),
    }
    stack = stack_factory(dags, env=env)
    one = Run(stack, kube)
    # Not before its trigger runs: of a stop before that Airflow tells nobody, and the reaper removes the pod.
    one.until(lambda: any("-stopped-" in request and "/log?" in request for request in kube.requests))
    path = f"dags/pods/dagRuns/{one.run_id}/taskInstances/stopped"
    stack.api.call("PATCH", path, body={"new_state": "failed"})
    one.until(lambda: not [name for name in kube.names() if "stopped" in name])
    psutil.Process(pids(stack)["triggerer"]).kill()
    restart(stack, "triggerer")
    one.until(lambda: stack.api.dag_runs("pods")[0]["state"] == "failed")
    yield one
    kube.close()
    world.close()


def pods(run: Run, task: str) -> list[dict[str, Any]]:
    """Return the pods that were made for a task."""
    return [pod for pod in run.kube.created if pod["metadata"]["labels"]["mlops/task"] == task]


def test_out_of_memory_gets_more(run: Run) -> None:
    """The third try has four times the memory and succeeds; no try waited for the task's own delay."""
    assert (run.state("hungry"), run.tasks()["hungry"]["try_number"]) == ("success", 3)
    limits = [pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in pods(run, "hungry")]
    assert limits == ["1Gi", "2Gi", "4Gi"]


def test_wrong_code_is_run_once(run: Run) -> None:
    """A task whose code is wrong fails on its first try, with two to spare."""
    assert (run.state("wrong"), run.tasks()["wrong"]["try_number"]) == ("failed", 1)
    assert len(pods(run, "wrong")) == 1


def test_time_counts_while_deferred(run: Run) -> None:
    """A task whose time was over while its triggerer was dead fails, and its pod is gone."""
    assert (run.state("late"), len(pods(run, "late"))) == ("failed", 1)


def test_nothing_is_left(run: Run) -> None:
    """Not one pod is left, also not of the task that was marked as failed while it was deferred."""
    assert run.kube.names() == []
    assert (run.state("stopped"), len(pods(run, "stopped"))) == ("failed", 1)
