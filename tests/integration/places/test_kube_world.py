"""The Kubernetes API that the other tests stand on behaves as the real clients expect of the real one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories.kube.steps import exited, hold, running, say, scheduled, unschedulable, work
from tests.factories.kube.world import NAMESPACE, KubeWorld

client = pytest.importorskip("kubernetes.client", reason="needs the kubernetes extra")
PYTHON = "import sys, time; print('hello', flush=True); time.sleep(float(sys.argv[1])); print('bye')"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[KubeWorld]:
    """An empty cluster."""
    one = KubeWorld(tmp_path)
    yield one
    one.close()


@pytest.fixture
def api(world: KubeWorld) -> Any:
    """The real client, configured by the kubeconfig file."""
    from kubernetes import config

    return client.CoreV1Api(config.new_client_from_config(str(world.kubeconfig)))


def pod(name: str = "one", seconds: float = 0, **spec: Any) -> dict[str, Any]:
    """Return a pod that sleeps."""
    base = {"name": "base", "image": "any", "args": ["python", "-c", PYTHON, str(seconds)], **spec.pop("base", {})}
    meta = {"name": name, "labels": {"app": "test", "number": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [base], **spec}}


def test_a_pod_runs_its_command(world: KubeWorld, api: Any) -> None:
    """A pod's command really runs; its log, its end and its deletion are seen through the real client."""
    api.create_namespaced_pod(NAMESPACE, pod(seconds=0.1))
    world.until(lambda: world.life().log)
    said = api.read_namespaced_pod_log("one", NAMESPACE, container="base", follow=True, _preload_content=False).data
    assert said == b"hello\nbye\n"
    ended = world.until(lambda: (one := api.read_namespaced_pod("one", NAMESPACE)).status.phase != "Running" and one)
    assert ended.status.phase == "Succeeded"
    assert ended.status.container_statuses[0].state.terminated.exit_code == 0
    api.delete_namespaced_pod("one", NAMESPACE)
    assert world.names() == []


def test_memory_and_deadline_are_kept(world: KubeWorld, api: Any) -> None:
    """Too little memory ends as out of memory; a pod that outlives its own deadline is ended by it."""
    world.next(scheduled(), work(needs="2Gi"))
    api.create_namespaced_pod(NAMESPACE, pod("small", base={"resources": {"limits": {"memory": "1Gi"}}}))
    world.next(scheduled(), running())
    api.create_namespaced_pod(NAMESPACE, pod("slow", activeDeadlineSeconds=1))
    world.until(lambda: {life.pod["status"]["phase"] for life in world.pods.values()} == {"Failed"})
    ended = world.life("small").pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
    assert world.life("slow").pod["status"]["reason"] == "DeadlineExceeded"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"metadata": {"name": "one"}}, 409),
        ({"metadata": {"name": "No Name"}}, 422),
        ({"metadata": {"name": "two", "labels": {"run": "scheduled__2024-01-01T00:00:00+00:00"}}}, 422),
        ({"spec": {"containers": [{"name": "base", "imag": "any"}]}}, 400),
        ({"spec": {"containers": [{"name": "base", "image": "any"}] * 2}}, 422),
    ],
)
def test_what_kubernetes_refuses(world: KubeWorld, api: Any, change: dict[str, Any], status: int) -> None:
    """A taken name, a bad one, a bad label, an unknown field and two containers of one name are refused."""
    world.next(scheduled(), hold(threading.Event()))
    api.create_namespaced_pod(NAMESPACE, pod())
    with pytest.raises(client.ApiException) as refused:
        api.create_namespaced_pod(NAMESPACE, {**pod(), **change})
    assert refused.value.status == status
    assert len(world.created) == 1


def test_selectors_events_and_watches(world: KubeWorld, api: Any) -> None:
    """Selectors choose as Kubernetes' do; events are kept; a watch tells what happens."""
    world.next(unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."))
    api.create_namespaced_pod(NAMESPACE, pod("one"))
    world.next(scheduled(), running(), say("x"), exited(1))
    api.create_namespaced_pod(NAMESPACE, pod("two"))
    world.until(lambda: world.events and world.life("two").ended.is_set())

    def names(selector: str) -> list[str]:
        found = api.list_namespaced_pod(NAMESPACE, label_selector=selector)
        return sorted(one.metadata.name for one in found.items)

    assert names("app=test") == ["one", "two"]
    assert names("app==test,number!=one") == names("number in (two, three)") == names("number notin (one)") == ["two"]
    assert names("!app") == []
    events = api.list_namespaced_event(NAMESPACE, field_selector="involvedObject.name=one").items
    assert "Insufficient nvidia.com/gpu" in events[0].message
    from kubernetes import watch

    seen = watch.Watch().stream(api.list_namespaced_pod, namespace=NAMESPACE, timeout_seconds=1)
    assert {(one["type"], one["object"].metadata.name) for one in seen} == {("ADDED", "one"), ("ADDED", "two")}


def test_deletion_minds_uid_and_grace(world: KubeWorld, api: Any) -> None:
    """Another pod of the same name is not deleted for this one; a running one gets its grace and its SIGTERM."""
    made = api.create_namespaced_pod(NAMESPACE, pod(seconds=60))
    world.until(lambda: world.life().log)
    other = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="another"))
    with pytest.raises(client.ApiException) as refused:
        api.delete_namespaced_pod("one", NAMESPACE, body=other)
    assert refused.value.status == 409
    mine = client.V1DeleteOptions(grace_period_seconds=5, preconditions=client.V1Preconditions(uid=made.metadata.uid))
    assert api.delete_namespaced_pod("one", NAMESPACE, body=mine).metadata.deletion_timestamp
    world.until(lambda: not world.names(), 4)
    with pytest.raises(client.ApiException) as gone:
        api.read_namespaced_pod("one", NAMESPACE)
    assert gone.value.status == 404


def test_faults_and_an_absence(world: KubeWorld) -> None:
    """Faults come as often as they were asked for; a server that was away knows its pods; the async client agrees."""
    from kubernetes_asyncio import client as async_client
    from kubernetes_asyncio import config as async_config

    world.next(scheduled(), running())
    world.create(pod())
    world.fault("GET", 500)

    async def ask() -> list[int | str]:
        answers: list[int | str] = []
        await async_config.load_kube_config(config_file=str(world.kubeconfig))
        async with async_client.ApiClient() as connection:
            one = async_client.CoreV1Api(connection)
            for _ in range(4):
                try:
                    answers.append((await one.read_namespaced_pod("one", NAMESPACE)).status.phase)
                except async_client.ApiException as error:
                    answers.append(error.status)
                except OSError:
                    answers.append("away")
                if len(answers) == 2:
                    world.down()
                elif len(answers) == 3:
                    world.up()
        return answers

    world.until(lambda: world.life().pod["status"]["phase"] == "Running")
    assert asyncio.run(ask()) == [500, "Running", "away", "Running"]
