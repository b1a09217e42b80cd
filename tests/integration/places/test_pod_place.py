"""Jobs in pods, over real HTTP: made once, found again, decided from pod and manifest, never left behind."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import RetryAction

from airflow_mlops_provider.exceptions import (
    BackendError,
    ConfigurationError,
    JobError,
    JobKilledError,
    JobTimeoutError,
    MLOpsError,
    OutOfMemoryError,
    UnschedulableError,
)
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.deferral import Deferred
from airflow_mlops_provider.places.kubernetes.decisions.identity import DECIDED
from airflow_mlops_provider.places.kubernetes.manifest import spec_of
from airflow_mlops_provider.places.kubernetes.settings import SecretKey
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.places.retry_policy import JobRetryPolicy
from tests.factories.kube.api import Refusal
from tests.factories.kube.pod_world import LOG, Task, connect, fired, place_of, run_in_pod, stored
from tests.factories.kube.steps import collected, exited, hold, running, say, scheduled, unschedulable, work
from tests.factories.kube.world import KubeWorld
from tests.factories.tiny import TinyWorld

ROOT = Path(__file__).parents[3]
SECRET = "hunter2-hunter2"
NEEDS_SECRET = f"""
import os

def clean(raw, interval):
    print("the job works")
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "{SECRET[:7]}" + "{SECRET[7:]}"
    return raw
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyWorld]:
    """A product whose jobs are quick."""
    world = TinyWorld(tmp_path_factory.mktemp("tiny"))
    yield world
    world.close()


@pytest.fixture
def kube(tiny: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeWorld]:
    """A cluster whose pods can run the product's jobs."""
    world = KubeWorld(tmp_path, {"PYTHONPATH": f"{ROOT}:{tiny.products}"})
    connect(monkeypatch, world.kubeconfig)
    yield world
    world.close()


@pytest.fixture
def spec(tiny: TinyWorld) -> JobSpec:
    """A job that is done anew each time."""
    return tiny.cleaning(force=True)


def policy(error: BaseException) -> Any:
    """Return what the pipelines' retry policy makes of an error."""
    return JobRetryPolicy(timedelta(seconds=30)).evaluate(error, 1, 2)


def test_a_pod_does_what_a_process_does(
    tiny: TinyWorld, kube: KubeWorld, spec: JobSpec, caplog: pytest.LogCaptureFixture
) -> None:
    """The same result as a local process's, its log here line by line, once, and whole beside the manifest."""
    caplog.set_level(logging.INFO)
    here = LocalProcess().run(spec, {}, logging.getLogger("here"))
    caplog.clear()
    place = place_of(tiny, deferrable=False)
    there = place.run(spec, {}, LOG, Task().next_try())
    assert there.result == here.result
    assert [record.message for record in caplog.records if record.message.endswith("2 of 2 rows kept")] == [
        "INFO mlops.clean: sales: 2 of 2 rows kept"
    ]
    (folder,) = (tiny.root / tiny.name / "pods").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["log.txt", "manifest.json"]
    assert "2 of 2 rows kept" in (folder / "log.txt").read_text()
    assert f"is kept in {(folder / 'log.txt').as_uri()}" in caplog.text
    assert place.log_file == (folder / "log.txt").as_uri()  # to which the task's page links
    assert kube.names() == []


def test_the_place_says_whether_its_cluster_answers(tiny: TinyWorld, kube: KubeWorld) -> None:
    """At once, by a single question; and why not, if it does not. No pod is made."""
    assert "answers" in place_of(tiny).probe()
    kube.fault("GET", 403)
    with pytest.raises(ConfigurationError, match="403"):
        place_of(tiny).probe()
    kube.down()
    began = time.monotonic()
    with pytest.raises(BackendError, match="cannot be reached"):
        place_of(tiny).probe()
    assert time.monotonic() - began < 20
    kube.up()
    assert kube.created == []


def test_waiting_costs_no_worker_and_tells_no_secret(
    tmp_path: Path, kube: KubeWorld, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Deferred, stored, read by a triggerer, fired, resumed: one pod, the secret reaches the job and no other place."""
    caplog.set_level(logging.DEBUG)
    world = TinyWorld(tmp_path, NEEDS_SECRET)
    kube.env["PYTHONPATH"] = f"{ROOT}:{world.products}"
    kube.secrets["mlflow", "password"] = SECRET
    held, key = {"MLFLOW_TRACKING_PASSWORD": SECRET}, SecretKey(name="mlflow", key="password")
    context, asked = Task().next_try(), world.cleaning()
    with pytest.raises(ConfigurationError, match="the connections hold MLFLOW_TRACKING_PASSWORD"):
        place_of(world).run(asked, held, LOG, context)
    assert kube.created == []
    with pytest.raises(Deferred) as waiting:
        place_of(world, secrets={"MLFLOW_TRACKING_PASSWORD": key}).run(asked, held, LOG, context)
    trigger, row = stored(waiting.value)
    event = fired(trigger)
    manifest = place_of(world, secrets={"MLFLOW_TRACKING_PASSWORD": key}).run(asked, held, LOG, context, event)
    world.close()
    assert manifest.state == "success"
    log = f"{caplog.text}{capfd.readouterr().out}"  # a trigger's goes the way of a triggerer
    assert log.count("the job works") == 1
    assert (len(kube.created), kube.names()) == (1, [])
    told = [row, json.dumps(event), json.dumps(kube.created), json.dumps(context["task_state_store"]), log]
    files = [path.read_bytes() for path in world.root.rglob("*") if path.is_file()]
    assert not [text for text in told if SECRET in text]
    assert not [data for data in files if SECRET.encode() in data]


# --- memory, mistakes -------------------------------------------------------------------------------------------------


def test_out_of_memory_is_tried_again_with_more(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """A pod that the kernel kills is tried again at once with twice the memory until it is enough."""
    kube.ordinary = (scheduled(), work(needs="3Gi"))
    place, task, told = place_of(tiny, memory="1Gi"), Task(), []
    for _ in range(2):
        with pytest.raises(OutOfMemoryError) as caught:
            run_in_pod(place, spec, task.next_try())
        told.append(str(caught.value).partition("; it had ")[2])
        decision = policy(caught.value)
        assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(0))
    assert run_in_pod(place, spec, task.next_try()).state == "success"
    assert told == ["1Gi, the next try has 2Gi", "2Gi, the next try has 4Gi"]
    assert [pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in kube.created] == [
        "1Gi", "2Gi", "4Gi",
    ]  # fmt: skip
    assert kube.names() == []


def test_at_the_cap_it_ends(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """Once there is no more memory to give, the error says so and no retry follows."""
    kube.ordinary = (scheduled(), work(needs="3Gi"))
    place, task = place_of(tiny, memory="1Gi", memory_cap="1Gi"), Task()
    with pytest.raises(OutOfMemoryError, match="it had 1Gi, and memory_cap allows no more") as caught:
        run_in_pod(place, spec, task.next_try())
    assert policy(caught.value).action is RetryAction.FAIL


def test_a_code_error_is_not_tried_again(tmp_path: Path, kube: KubeWorld) -> None:
    """Wrong code fails with its own error and its manifest, and no retry follows; its log is kept, too."""
    world = TinyWorld(tmp_path, "def clean(raw, interval):\n    raise KeyError('amount')\n")
    kube.env["PYTHONPATH"] = f"{ROOT}:{world.products}"
    with pytest.raises(JobError, match="KeyError: 'amount'") as caught:
        run_in_pod(place_of(world), world.cleaning(), Task().next_try())
    world.close()
    assert policy(caught.value).action is RetryAction.FAIL
    assert (world.root / caught.value.result.removeprefix(world.root.as_uri()).strip("/") / "manifest.json").exists()
    (log,) = (world.root / world.name / "pods").glob("*/log.txt")
    assert "KeyError: 'amount'" in log.read_text()
    assert kube.names() == []


def test_a_product_that_the_image_lacks_is_told(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """What keeps the job from beginning comes back as its error, not as a job that got lost."""
    kube.env["PYTHONPATH"] = str(ROOT)
    with pytest.raises(MLOpsError, match=f"module '{tiny.name}.rules' is not to be found") as caught:
        run_in_pod(place_of(tiny), spec, Task().next_try())
    assert policy(caught.value).action is RetryAction.FAIL


# --- deaths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["kept", "lost"])
def test_a_dead_worker_costs_nothing(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec, memory: str) -> None:
    """The retry after a worker's death goes on with the same pod, by what the task remembers or by its labels."""
    go_on, task = threading.Event(), Task()
    kube.next(scheduled(), hold(go_on), work())
    with pytest.raises(Deferred):
        place_of(tiny).run(spec, {}, LOG, task.next_try())
    if memory == "lost":
        task.memory.clear()
    threading.Timer(0.3, go_on.set).start()
    again = spec.model_copy(update={"run": spec.run.model_copy(update={"try_number": 2})})
    assert run_in_pod(place_of(tiny), again, task.next_try()).state == "success"
    assert (len(kube.created), kube.names()) == (1, [])


def test_a_success_outlives_its_pod(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """A pod that was collected after its work, with the worker dead and the triggerer late, is still a success."""
    kube.ordinary = (scheduled(), work(), collected())
    for retried in (False, True):
        task = Task()
        with pytest.raises(Deferred) as waiting:
            place_of(tiny).run(spec, {}, LOG, context := task.next_try())
        kube.until(lambda: kube.names() == [])
        event = None if retried else fired(stored(waiting.value)[0])
        assert place_of(tiny).run(spec, {}, LOG, task.next_try() if retried else context, event).state == "success"
    assert len(kube.created) == 2


def test_other_inputs_take_another_pod(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """A pod that an earlier try left, and that does something else by now, is removed."""
    kube.next(scheduled(), running())
    task = Task()
    with pytest.raises(Deferred):
        place_of(tiny).run(spec.model_copy(update={"params": {"old": 1}}), {}, LOG, task.next_try())
    assert run_in_pod(place_of(tiny), spec, task.next_try()).state == "success"
    assert [spec_of(pod).params for pod in kube.created] == [{"old": 1}, {}]  # type: ignore[union-attr]
    assert kube.names() == []


def test_a_failed_trigger_leaves_the_waiting_to_the_worker(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """When Airflow gives a trigger up, the worker itself waits for the same pod."""
    kube.next(scheduled(), work())
    context = Task().next_try()
    with pytest.raises(Deferred):
        place_of(tiny).run(spec, {}, LOG, context)
    assert place_of(tiny).run(spec, {}, LOG, context, {"stay": True}).state == "success"
    assert len(kube.created) == 1


def test_a_creation_that_nobody_heard_of_is_not_repeated(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """A pod whose creation was answered to nobody is the one that is asked for again: it stays one."""
    create = kube.create

    def unanswered(pod: dict[str, Any]) -> dict[str, Any]:
        create(pod)
        kube.create = create  # type: ignore[method-assign]
        raise Refusal(500, "InternalError", "etcdserver: request timed out")

    kube.create = unanswered  # type: ignore[method-assign]
    assert run_in_pod(place_of(tiny), spec, Task().next_try()).state == "success"
    assert sum(request.startswith("POST") for request in kube.requests) == 2
    assert (len(kube.created), kube.names()) == (1, [])


def test_an_api_server_that_stumbles_is_asked_again(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """Refusals that pass, cut connections and an API server that is away for a while cost no pod and no result."""
    kube.fault("POST /api", 503)
    kube.fault("GET /api", 429)
    kube.fault("GET /api", "reset")
    kube.fault("DELETE /api", 500)
    context = Task().next_try()
    with pytest.raises(Deferred) as waiting:
        place_of(tiny).run(spec, {}, LOG, context)
    kube.down()
    threading.Timer(1, kube.up).start()
    event = fired(stored(waiting.value)[0])
    assert place_of(tiny).run(spec, {}, LOG, context, event).state == "success"
    assert (len(kube.created), kube.names()) == (1, [])


# --- time, stops ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_tasks_time_counts_while_it_waits(
    tiny: TinyWorld, kube: KubeWorld, spec: JobSpec, deferrable: bool
) -> None:
    """A task whose time is over ends its pod, deferred or not, and the pod's own deadline would have, too."""
    kube.next(scheduled(), running(), say("still at it"))
    with pytest.raises(JobTimeoutError, match="was not done in the task's time") as caught:
        run_in_pod(place_of(tiny, deferrable=deferrable), spec, Task(timeout=0.5).next_try())
    assert caught.value.retryable
    assert kube.created[0]["spec"]["activeDeadlineSeconds"] == 1
    assert kube.names() == []


def test_no_node_is_told_in_the_schedulers_words(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """A pod that gets no node waits as long as it was told to, and the scheduler's own reason is the error."""
    reason = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    kube.next(unschedulable(reason))
    began = time.monotonic()
    with pytest.raises(UnschedulableError) as caught:
        run_in_pod(place_of(tiny, gpus=1, schedule_timeout_seconds=2), spec, Task().next_try())
    assert reason in str(caught.value)
    assert time.monotonic() - began >= 1
    assert policy(caught.value).retry_delay == timedelta(seconds=30)
    assert kube.names() == []


def test_a_node_that_comes_late_is_waited_for(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """While a node is being provisioned, only the limit for that counts, not the one for starting."""
    late = threading.Timer(1.5, (come := threading.Event()).set)
    kube.next(unschedulable("0/3 nodes are available"), hold(come), scheduled(), work())
    late.start()
    assert run_in_pod(place_of(tiny, startup_timeout_seconds=1), spec, Task().next_try()).state == "success"


def test_a_stopped_task_leaves_no_pod(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """Stopping a task deletes its pod: in the worker, and in the triggerer if it is deferred."""
    kube.ordinary = (scheduled(), running())
    place = place_of(tiny, deferrable=False, termination_grace_seconds=0)
    threading.Timer(0.8, place.stop).start()
    with pytest.raises(JobKilledError) as caught:
        place.run(spec, {}, LOG, Task().next_try())
    assert not caught.value.retryable
    assert kube.names() == []
    with pytest.raises(Deferred) as waiting:
        place_of(tiny, termination_grace_seconds=0).run(spec, {}, LOG, Task().next_try())
    asyncio.run(waiting.value.trigger().on_kill())
    kube.until(lambda: kube.names() == [])


def test_a_triggers_own_end_harms_no_pod(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """A triggerer that is shut down leaves the pod alone, and the next one goes on."""
    go_on, context = threading.Event(), Task().next_try()
    kube.next(scheduled(), hold(go_on), work())
    with pytest.raises(Deferred) as waiting:
        place_of(tiny).run(spec, {}, LOG, context)
    with pytest.raises(TimeoutError):
        fired(stored(waiting.value)[0], seconds=0.5)
    assert len(kube.names()) == 1
    go_on.set()
    event = fired(stored(waiting.value)[0])
    assert place_of(tiny).run(spec, {}, LOG, context, event).state == "success"


def test_pods_are_kept_on_request(tiny: TinyWorld, kube: KubeWorld, spec: JobSpec) -> None:
    """A failed pod stays for a look at it where that was asked for; a retry makes one of its own."""
    kube.next(scheduled(), running(), say("no"), exited(137, "OOMKilled"))
    task, place = Task(), place_of(tiny, keep="failed")
    with pytest.raises(OutOfMemoryError, match="it had no limit of its own"):
        run_in_pod(place, spec, task.next_try())
    (kept,) = kube.names()
    assert kube.life(kept).pod["metadata"]["labels"][DECIDED] == "true"
    assert run_in_pod(place, spec, task.next_try()).state == "success"
    assert kube.names() == [kept]
