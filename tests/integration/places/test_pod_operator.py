"""The pod operator by itself: over real HTTP against the double, and the same on a cluster where KUBECONFIG names one.

On a cluster the pods' image is ``MLOPS_TEST_POD_IMAGE``, one with Python in it.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.exceptions import (
    ConfigurationError,
    ImagePullError,
    JobError,
    JobKilledError,
    JobTimeoutError,
    OutOfMemoryError,
    PodSpecError,
    UnschedulableError,
)
from airflow_mlops_provider.places.deferral import Deferred
from airflow_mlops_provider.places.kubernetes.decisions.identity import DECIDED, MANAGED_BY
from airflow_mlops_provider.places.kubernetes.operator import DurablePodOperator
from tests.factories.kube.node import Step
from tests.factories.kube.pod_world import Task, connect, deferred
from tests.factories.kube.steps import running, say, scheduled, unschedulable, waiting, work
from tests.factories.kube.world import KubeWorld

KUBECONFIG = os.environ.get("KUBECONFIG")
NO_CLUSTER = pytest.mark.skipif(not KUBECONFIG, reason="no Kubernetes cluster: KUBECONFIG is not set")
HERE, THERE = "double", pytest.param("cluster", marks=[pytest.mark.cluster, NO_CLUSTER])
SLEEP = ("import time; print('up', flush=True); time.sleep(300)",)


class Cluster:
    """Where pods run: the double, whose pods live as a test says, or a cluster, whose pods live as they do."""

    def __init__(self, double: KubeWorld | None) -> None:
        self.double = double
        self.image = os.environ.get("MLOPS_TEST_POD_IMAGE", "docker.io/library/python:3.11-slim-bookworm")
        self.operators: list[DurablePodOperator] = []

    def expect(self, *steps: Step) -> None:
        """Say how the double's next pod lives."""
        if self.double is not None:
            self.double.next(*steps)

    def operator(self, code: str = "print('done')", **fields: Any) -> DurablePodOperator:
        """Return an operator whose pod runs some Python."""
        given = {
            "image": self.image,
            "poll_interval": 0.2 if self.double else 2,
            "termination_grace_period": 1,
            **fields,
        }
        made = DurablePodOperator(task_id="pod", arguments=["python", "-c", code], **given)
        self.operators.append(made)
        return made

    def left(self, task: Task) -> list[str]:
        """Return the names of a task's pods that still exist."""
        selector = f"{'='.join(MANAGED_BY)},mlops/run={task.run_id}"
        return [pod["metadata"]["name"] for pod in self.operators[-1].api.find(selector)]


@pytest.fixture(params=[HERE, THERE])
def cluster(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The double, or the cluster of KUBECONFIG."""
    double = KubeWorld(tmp_path) if request.param == HERE else None
    connect(monkeypatch, double.kubeconfig if double else str(KUBECONFIG))
    yield Cluster(double)
    if double:
        double.close()


@pytest.fixture
def task() -> Task:
    """A task of a run of its own."""
    return Task(run_id=f"run-{uuid.uuid4().hex[:8]}")


def attending(make: Callable[[], DurablePodOperator], context: Any) -> Any:
    """Run a pod to its end, in a new process after each deferral as far as the operator can tell."""
    return deferred(lambda event: make().attend(context, event))


def test_it_is_a_kubernetes_pod_operator() -> None:
    """Whoever knows the one knows the other, and what cannot be honoured is refused by name."""
    assert issubclass(DurablePodOperator, KubernetesPodOperator)
    made = DurablePodOperator(task_id="pod", image="x", node_selector={"a": "b"}, env_vars={"A": "1"})
    assert (made.deferrable, made.active_deadline_seconds) == (True, 24 * 3600)
    for name in ("do_xcom_push", "callbacks", "logging_interval", "on_kill_action", "skip_on_exit_code"):
        with pytest.raises(ConfigurationError, match=f"DurablePodOperator takes no {name}: "):
            DurablePodOperator(task_id="pod", **{name: "keep_pod"})


def test_a_pod_that_ends_well(cluster: Cluster, task: Task, capfd: pytest.CaptureFixture[str]) -> None:
    """Status 0 is success, its log is passed on, and the pod is gone; it was bounded and labelled."""
    cluster.expect(scheduled(), work())
    attending(lambda: cluster.operator("print('done', 6 * 7)"), task.next_try())
    assert "done 42" in capfd.readouterr().out
    assert cluster.left(task) == []
    if cluster.double:
        (pod,) = cluster.double.created
        assert pod["spec"]["activeDeadlineSeconds"] == 24 * 3600
        assert pod["spec"]["restartPolicy"] == "Never"
        assert (
            pod["metadata"]["labels"].items() >= {"mlops/dag": "tests", "mlops/task": "clean", "mlops/try": "1"}.items()
        )


def test_a_pod_that_fails(cluster: Cluster, task: Task) -> None:
    """Another status is a failure that tells it; kept on request, and then the retry has a pod of its own."""
    for _ in range(2):
        cluster.expect(scheduled(), work())
        with pytest.raises(JobError, match="ended with status 3"):
            attending(
                lambda: cluster.operator("raise SystemExit(3)", on_finish_action="delete_succeeded_pod"),
                task.next_try(),
            )
    kept = cluster.left(task)
    assert len(kept) == 2
    for name in kept:
        pod = cluster.operators[-1].api.read(name)
        assert pod is not None
        assert pod["metadata"]["labels"][DECIDED] == "true"
        cluster.operators[-1].api.delete(pod)


def test_out_of_memory(cluster: Cluster, task: Task) -> None:
    """A container that the kernel kills for want of memory says so."""
    from kubernetes.client import V1ResourceRequirements

    cluster.expect(scheduled(), work(needs="1Gi"))
    limit = V1ResourceRequirements(limits={"memory": "48Mi"})
    code = "held = [b'x' * 2**20 for _ in range(1024)]; print(len(held))"
    with pytest.raises(OutOfMemoryError, match="was killed by the kernel: it ran out of memory"):
        attending(lambda: cluster.operator(code, container_resources=limit), task.next_try())
    assert cluster.left(task) == []


def test_no_such_image(cluster: Cluster, task: Task) -> None:
    """An image that does not exist is told at once, as what no retry mends."""
    cluster.expect(scheduled(), waiting("ErrImagePull", "manifest unknown: not found"))
    image = "docker.io/library/python:no-such-tag"
    with pytest.raises(ImagePullError, match="cannot pull its image") as caught:
        attending(lambda: cluster.operator(image=image), task.next_try())
    assert not caught.value.retryable
    assert cluster.left(task) == []


def test_no_such_secret(cluster: Cluster, task: Task) -> None:
    """A secret that is not there is named, long before the time for starting is over."""
    from airflow.providers.cncf.kubernetes.secret import Secret

    cluster.expect(scheduled(), work())
    secret = Secret("env", "TOKEN", "no-such-secret", "token")
    with pytest.raises(PodSpecError, match='secret "no-such-secret" not found'):
        attending(lambda: cluster.operator(secrets=[secret]), task.next_try())
    assert cluster.left(task) == []


def test_no_such_node(cluster: Cluster, task: Task) -> None:
    """A pod that no node takes ends at its own limit, with the scheduler's reason."""
    cluster.expect(unschedulable("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."))
    with pytest.raises(UnschedulableError, match="nodes are available"):
        attending(
            lambda: cluster.operator(node_selector={"mlops-tests": "no-such-node"}, schedule_timeout_seconds=3),
            task.next_try(),
        )
    assert cluster.left(task) == []


def test_what_the_cluster_refuses(cluster: Cluster, task: Task) -> None:
    """A pod that the API does not take fails the task at once, with the API's words; no retry is asked for."""
    operator = cluster.operator(labels={"team": "no label!"})
    with pytest.raises(AirflowFailException, match="PodSpecError: the Kubernetes API answered 4"):
        operator.resume(task.next_try(), None)


def test_the_tasks_time(cluster: Cluster) -> None:
    """The execution timeout counts while the task is deferred, and leaves no pod."""
    task = Task(timeout=3 if cluster.double else 30, run_id=f"run-{uuid.uuid4().hex[:8]}")
    cluster.expect(scheduled(), running(), say("up"))
    with pytest.raises(JobTimeoutError):
        attending(lambda: cluster.operator(*SLEEP), task.next_try())
    assert cluster.left(task) == []


def test_a_retry_finds_the_pod(cluster: Cluster, task: Task) -> None:
    """A worker that died while its pod ran costs no second pod."""
    cluster.expect(scheduled(), work())
    code = "import time; time.sleep(3); print('once')"
    with pytest.raises(Deferred):
        cluster.operator(code).attend(task.next_try())
    (name,) = cluster.left(task)
    found = attending(lambda: cluster.operator(code), task.next_try())
    assert found.name == name
    assert cluster.left(task) == []


def test_a_stop_leaves_nothing(cluster: Cluster, task: Task) -> None:
    """Stopping the task in the worker deletes the pod and is no failure that a retry follows."""
    cluster.expect(scheduled(), running(), say("up"))
    operator = cluster.operator(*SLEEP, deferrable=False)
    threading.Timer(1 if cluster.double else 10, operator.on_kill).start()
    with pytest.raises(JobKilledError) as caught:
        operator.attend(task.next_try())
    assert not caught.value.retryable
    assert cluster.left(task) == []
