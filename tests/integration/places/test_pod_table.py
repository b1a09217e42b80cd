"""How a pod ends by what its manifest says by who died meanwhile: one right state each, no pod left, none made twice.

Over real HTTP, through the place that runs jobs; ``tests/unit/places/kubernetes/decisions`` has the whole table.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tenacity

from airflow_mlops_provider.exceptions import MLOpsError, SourceDataError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.deferral import Deferred
from airflow_mlops_provider.places.kubernetes.decisions.ends import Timeouts
from airflow_mlops_provider.places.kubernetes.manifest import manifest_copy_key
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.runtime.failures import describe
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.triggers.pods import PodTrigger
from tests.factories.kube.node import Life, Step
from tests.factories.kube.pod_world import LOG, Store, Try, connect, fired, place_of, stored
from tests.factories.kube.steps import (
    collected,
    exited,
    failed,
    hold,
    node_lost,
    running,
    scheduled,
    unschedulable,
    waiting,
)
from tests.factories.kube.world import KubeWorld
from tests.factories.tiny import TinyWorld

GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
ENDS: dict[str, Step] = {
    "exit 0": exited(0),
    "exit 1": exited(1),
    "killed": exited(137),
    "out of memory": exited(137, "OOMKilled"),
    "evicted": failed("Evicted", "The node was low on resource: memory."),
    "past deadline": failed("DeadlineExceeded", "Pod was active longer than allowed", code=143),
    "collected": collected(),
    "node lost": node_lost(),
}
# With a manifest that is absent or partial, one that tells of a failure, one that tells of success.
TABLE = {
    "exit 0": ("JobLostError", "SourceDataError", "success"),
    "exit 1": ("JobLostError", "SourceDataError", "success"),
    "killed": ("JobLostError", "SourceDataError", "success"),
    "out of memory": ("OutOfMemoryError", "OutOfMemoryError", "success"),
    "evicted": ("EvictedError", "SourceDataError", "success"),
    "past deadline": ("JobTimeoutError", "SourceDataError", "success"),
    "collected": ("JobLostError", "SourceDataError", "success"),
    "node lost": ("NodeLostError", "SourceDataError", "success"),
    "runs on": ("JobTimeoutError", "SourceDataError", "success"),
}
MANIFESTS = {"absent": 0, "partial": 0, "failed": 1, "success": 2}


class Remembered(Store):
    """A task's memory on disk: what a process that is killed has remembered is not lost with it."""

    def __init__(self, file: Path) -> None:
        super().__init__(json.loads(file.read_text()) if file.exists() else {})
        self.file = file

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        self.file.write_text(json.dumps(self))


class Case:
    """One task whose job runs in a pod, and the pod's life: it begins, waits for the word, and ends."""

    def __init__(self, cluster: Cluster, manifest: str, *end: Step) -> None:
        self.cluster, self.world, self.run_id = cluster, cluster.world, f"run-{uuid.uuid4().hex[:8]}"
        self.memory = cluster.folder / f"{self.run_id}.json"
        self.word, self.left = threading.Event(), threading.Event()
        self.world.lives.clear()
        self.begun = len(self.world.created)
        self.world.next(scheduled(), running(), hold(self.word), lambda life: self.leave(life, manifest), *end)

    def place(self, *, deferrable: bool = False) -> KubernetesPod:
        """Return the place as a worker makes it."""
        return place_of(
            self.cluster.tiny,
            deferrable=deferrable,
            poll_seconds=0.03,
            termination_grace_seconds=0,
            schedule_timeout_seconds=2,
        )

    def attend(
        self,
        event: dict[str, Any] | None = None,
        *,
        deferrable: bool = False,
        number: int = 1,
        place: KubernetesPod | None = None,
    ) -> str:
        """Run the task, or go on with it, in one try, and return its final state."""
        one = Try(Remembered(self.memory), number, timedelta(hours=1), self.run_id)
        place = place or self.place(deferrable=deferrable)
        try:
            (place or self.place(deferrable=deferrable)).run(
                self.cluster.spec(self.run_id, number), {}, LOG, one.context, event
            )
        except MLOpsError as error:
            return type(error).__name__
        return "success"

    def defer(self) -> PodTrigger:
        """Run the task until it waits in the triggerer, and return the trigger."""
        with pytest.raises(Deferred) as waiting:
            self.attend(deferrable=True)
        return stored(waiting.value)[0]

    def until_running(self) -> None:
        """Wait until the pod runs."""
        self.world.until(lambda: self.world.names() and self.world.life().state_of(None) == "running")

    def end(self) -> None:
        """Give the word, and wait until the pod has ended."""
        life = self.world.life()
        self.word.set()
        self.world.until(lambda: life.ended.is_set() or life.unreachable or not self.world.names())

    def leave(self, life: Life, manifest: str) -> None:
        """Leave what the job leaves, where this pod's is looked for."""
        told = self.cluster.manifests.get(manifest)
        if manifest == "absent":
            return
        text = told.model_dump_json() if told else self.cluster.manifests["success"].model_dump_json()[:-20]
        folder = self.cluster.root / manifest_copy_key(self.cluster.spec(self.run_id), life.name)
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(text)
        self.left.set()


def expire(trigger: PodTrigger) -> None:
    """Let the time of a trigger's task be over."""
    trigger.observer.watch = trigger.observer.watch.model_copy(update={"deadline": time.time() - 1})


# --- who dies, and who goes on ----------------------------------------------------------------------------------------


def nobody(case: Case) -> str:
    """Everybody lives: the worker waits itself."""
    threading.Timer(0.03, case.word.set).start()
    return case.attend()


def worker(case: Case) -> str:
    """The worker is killed while the pod runs; the pod ends meanwhile; a retry comes."""
    child = os.fork()
    if child == 0:
        try:
            case.attend()
        finally:
            os._exit(1)
    case.until_running()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    case.end()
    return case.attend(number=2)


def triggerer(case: Case) -> str:
    """The triggerer is killed while it waits; another one reads the trigger from the database."""
    trigger = case.defer()

    async def killed() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(trigger.run()), 0.02)

    asyncio.run(killed())
    case.word.set()
    return case.attend(fired(PodTrigger(**trigger.serialize()[1])), deferrable=True)


def api_server(case: Case) -> str:
    """The API server goes while the pod runs; the pod ends meanwhile; the server comes back."""

    def outage() -> None:
        case.until_running()
        case.world.down()
        case.end()
        case.world.up()

    threading.Thread(target=outage, daemon=True).start()
    return case.attend()


def timeout(case: Case) -> str:
    """The task's time is over before anybody sees how the pod has ended."""
    trigger = case.defer()
    case.end()
    expire(trigger)
    return case.attend(fired(trigger), deferrable=True)


def user(case: Case) -> str:
    """Somebody stops the task while it waits in the triggerer: its state is what that person says."""
    trigger = case.defer()
    case.end()
    asyncio.run(trigger.on_kill())
    return "stopped"


DEATHS: list[Callable[[Case], str]] = [nobody, worker, triggerer, api_server, timeout, user]
#: To whoever looks again these are as "exit 0" and "evicted" are.
ALIKE = {"exit 1", "killed", "past deadline"}
CASES = [
    pytest.param(end, manifest, death, id=f"{end}, {manifest}, {death.__name__}")
    for end, manifest, death in itertools.product(ENDS, MANIFESTS, DEATHS)
    if death is nobody or end not in ALIKE
]


class Cluster:
    """A cluster, an artifact root that pods and workers share, and what a job leaves there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world, self.tiny = folder, KubeWorld(folder), TinyWorld(folder)
        self.root = self.tiny.root
        good = run(self.tiny.cleaning())
        bad = good.model_copy(
            update={"state": "failed", "result": None, "failure": describe(SourceDataError("no rows"))}
        )
        self.manifests: dict[str, Manifest] = {"success": good, "failed": bad}

    def spec(self, run_id: str, number: int = 1) -> JobSpec:
        """Return what a try of a task asks for."""
        good = self.manifests["success"].spec
        run_of = good.run.model_copy(update={"run_id": run_id, "try_number": number})
        return good.model_copy(update={"run": run_of, "root": f"file://{self.root}"})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of all cases, through the connection that places use."""
    from airflow.providers.cncf.kubernetes import kubernetes_helper_functions

    one = Cluster(tmp_path_factory.mktemp("cluster"))
    with pytest.MonkeyPatch.context() as patch:
        connect(patch, one.world.kubeconfig)
        patch.setattr(kubernetes_helper_functions, "_default_wait", tenacity.wait_fixed(0.02))
        patch.setattr("airflow_mlops_provider.places.kubernetes.api.GONE_WITHIN", 0.1)
        patch.setattr(
            "airflow_mlops_provider.places.kubernetes.settings.Timeouts", partial(Timeouts, manifest=0, lost=0)
        )
        yield one
    one.world.close()
    one.tiny.close()


@pytest.mark.parametrize(("end", "manifest", "death"), CASES)
def test_one_state_no_pod_left_none_made_twice(
    cluster: Cluster, end: str, manifest: str, death: Callable[[Case], str]
) -> None:
    """Whoever dies, the task's state is what pod and manifest say; the pod is gone, and there was one only.

    One pod more is made where nobody has seen the first one's end and it has left nothing: the retry is to do the work.
    """
    case = Case(cluster, manifest, ENDS[end])
    anew = death is worker and end == "collected" and manifest in {"absent", "partial"}
    if anew:
        case.world.next(scheduled(), running(), lambda life: case.leave(life, "success"), exited(0))
    state = death(case)
    expected = "success" if anew else TABLE[end][MANIFESTS[manifest]]
    assert state == ("stopped" if death is user else expected)
    assert len(case.world.created) == case.begun + (2 if anew else 1)
    assert case.world.names() == []


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_pod_that_runs_on_ends_with_the_tasks_time(cluster: Cluster, manifest: str) -> None:
    """A pod that is still there when the time is over goes; what it had finished by then counts."""
    case = Case(cluster, manifest)
    trigger = case.defer()
    case.word.set()
    case.world.until(lambda: manifest == "absent" or case.left.is_set())
    expire(trigger)
    assert case.attend(fired(trigger), deferrable=True) == TABLE["runs on"][MANIFESTS[manifest]]
    assert case.world.names() == []


@pytest.mark.parametrize(
    ("steps", "state", "limit"),
    [
        ((unschedulable(GPU),), "UnschedulableError", 2),
        ((scheduled(), waiting("InvalidImageName")), "ImagePullError", 0),
        ((scheduled(), waiting("CreateContainerConfigError", 'secret "s3" not found')), "PodSpecError", 0),
    ],
    ids=["no node", "no image", "no secret"],
)
def test_a_pod_that_cannot_start_is_removed(cluster: Cluster, steps: tuple[Step, ...], state: str, limit: int) -> None:
    """It fails after its own limit, or at once where waiting cannot help, and is not left to wait for ever."""
    case = Case(cluster, "absent")
    cluster.world.lives[-1] = steps
    began = time.monotonic()
    assert case.attend() == state
    assert time.monotonic() - began >= limit - 1  # the API tells times in whole seconds
    assert cluster.world.names() == []


def test_stopping_a_task_that_waits_itself(cluster: Cluster) -> None:
    """The worker is told to stop: the pod goes, whatever it does, and the task is not a success."""
    case = Case(cluster, "success")
    place = case.place()
    killer = threading.Timer(0.0, lambda: (case.until_running(), place.stop()))
    killer.start()
    assert case.attend(place=place) == "JobKilledError"
    killer.join()
    assert cluster.world.names() == []
    assert len(cluster.world.created) == case.begun + 1
