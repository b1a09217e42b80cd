"""The reaper on a cluster of pods of all kinds, asking a real Airflow which of its task instances still live."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions.identity import DECIDED, INSTALLATION, full_ids, labels
from airflow_mlops_provider.places.kubernetes.orphans import remove_orphans
from tests.factories.kube.rules import stamp
from tests.factories.kube.steps import exited, running, scheduled
from tests.factories.kube.world import NAMESPACE, KubeWorld

ROOT = Path(__file__).parents[3]
OURS = "the-one-in-the-tests"
STATES = ("success", "failed", "skipped", "removed", "running", "deferred", "up_for_retry", "queued", "none")
ENDED = {"success", "failed", "skipped", "removed"}
HOUSE = f"""
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task

with DAG("house", schedule=None):
    for state in {STATES!r}:
        EmptyOperator(task_id=state)

    @task
    def each(number):
        return number

    each.expand(number=[0, 1])
"""
# Leaves task instances in every state, says which run is theirs, then runs the maintenance in each environment given.
SCRIPT = """
import gc, json, os, runpy, sys
from airflow.sdk import DAG

def dag(name):
    kept = runpy.run_path(f"{sys.argv[1]}/{name}.py")
    return next(one for one in gc.get_objects() if isinstance(one, DAG) and one.fileloc.endswith(f"/{name}.py"))

run = dag("house").test()
from airflow.models import TaskInstance
from airflow.utils.session import create_session

with create_session() as session:
    for ti in session.query(TaskInstance).filter_by(dag_id="house"):
        state = {("each", 0): "running", ("each", 1): "success"}.get((ti.task_id, ti.map_index), ti.task_id)
        ti.state = None if state == "none" else state
print("RUN", run.run_id, flush=True)
maintenance = dag("maintenance")
for line in sys.stdin:
    os.environ |= json.loads(line)
    states = [ti.state for ti in maintenance.test().get_task_instances()]
    print("ENDED", states, flush=True)
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[KubeWorld]:
    """An empty cluster."""
    one = KubeWorld(tmp_path)
    one.ordinary = (scheduled(), running())
    yield one
    one.close()


def pod(name: str, run: RunIdentity, **more: str | None) -> dict[str, Any]:
    """Return a pod of ours that runs for a task instance; further labels, or None to take one away."""
    wanted = {**labels(run, "shop", "train"), INSTALLATION: OURS, **more}
    kept = {key: value for key, value in wanted.items() if value is not None}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": kept, "annotations": full_ids(run)},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "base", "image": "any", "args": ["x"]}]},
    }


class Airflow:
    """A process with a real Airflow database, and the maintenance DAG of the reference bundle."""

    def __init__(self, home: Path) -> None:
        (home / "dags").mkdir()
        (home / "dags" / "house.py").write_text(HOUSE)
        shutil.copy(ROOT / "dags" / "maintenance.py", home / "dags")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(home / "dags")],
            env={**os.environ, "AIRFLOW_HOME": str(home), "KUBECONFIG": str(home / "none")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.run_id = self._until("RUN ").split()[-1]

    def maintain(self, **env: str) -> str:
        """Run the maintenance DAG in an environment and return what it printed."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(env) + "\n")
        self.process.stdin.flush()
        return self._until("ENDED ")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def _until(self, mark: str) -> str:
        assert self.process.stdout
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith(mark):
                return "".join(said)
        raise AssertionError("".join(said)[-3000:])


@pytest.fixture(scope="module")
def airflow(prepared_home: Callable[[], Path]) -> Iterator[Airflow]:
    """An Airflow with task instances in every state."""
    one = Airflow(prepared_home())
    yield one
    one.close()


def test_without_a_cluster_it_is_skipped(airflow: Airflow) -> None:
    """On a laptop the task is skipped and says why: no name is given, or no cluster."""
    for env, why in (
        ({}, "installation is not set"),
        ({"AIRFLOW__MLOPS__INSTALLATION": OURS}, "no Kubernetes cluster is configured"),
    ):
        said = airflow.maintain(**env)
        assert "ENDED ['skipped']" in said
        assert why in said


def test_orphans_go_and_nothing_else(world: KubeWorld, airflow: Airflow) -> None:
    """Of pods of every kind exactly the orphans go; the log gives each one's reason."""
    house = RunIdentity(dag_id="house", run_id=airflow.run_id, task_id="failed", try_number=1)
    for state in STATES:
        world.create(pod(state.replace("_", "-"), house.model_copy(update={"task_id": state})))
    for number in (0, 1):
        world.create(pod(f"each-{number}", house.model_copy(update={"task_id": "each", "map_index": number})))
    world.create(pod("no-such-run", house.model_copy(update={"run_id": "deleted"})))
    world.create(pod("no-such-dag", house.model_copy(update={"dag_id": "deleted"})))
    world.create(pod("of-others", house, **{INSTALLATION: "another"}))
    world.create(pod("of-nobody", house, **{INSTALLATION: None}))
    world.create(pod("foreign", house, **{"app.kubernetes.io/managed-by": "somebody"}))
    unnamed = pod("unnamed", house)
    unnamed["metadata"]["annotations"] = {}
    world.create(unnamed)
    world.next(scheduled(), running(), exited(1))
    world.create(pod("kept", house, **{DECIDED: "true"}))
    cluster = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(world.kubeconfig), "namespace": NAMESPACE}}
    connection = {"AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(cluster)}
    pod_place = {"kind": "kubernetes_pod", "image": "any", "namespace": "training"}
    place = {"AIRFLOW__MLOPS__PLACES": json.dumps({"pod": pod_place})}
    said = airflow.maintain(AIRFLOW__MLOPS__INSTALLATION=OURS, **connection, **place)
    assert "ENDED ['success']" in said
    orphans = {*ENDED, "each-1", "no-such-run", "no-such-dag"}
    assert set(world.removed) == orphans
    assert set(world.names()) == {
        *(state.replace("_", "-") for state in STATES if state not in ENDED),
        *("each-0", "of-others", "of-nobody", "foreign", "unnamed", "kept"),
    }
    for name, why in {
        "failed": "is removed: its task is failed",
        "each-1": "is removed: its task is success",
        "no-such-run": "is removed: its run is gone",
        "deferred": "stays: its task is deferred",
        "none": "stays: its task is not scheduled yet",
        "of-others": "belongs to the installation 'another'",
        "of-nobody": "names no installation",
        "unnamed": "does not say which task instance",
        "kept": "stays for another 72.0 h",
    }.items():
        assert f"pod {name} {why}" in said, name
    assert "foreign" not in said
    assert {request.split("/")[4] for request in world.requests} == {"training"}


def api_of(world: KubeWorld) -> PodApi:
    """Return the pods of the cluster as places see them."""
    return PodApi({"conn_id": None, "config_dict": world.config}, NAMESPACE)


def test_a_pod_that_cannot_be_removed_holds_no_other(world: KubeWorld) -> None:
    """A refused deletion is told after all others were done; the next run does the rest."""
    run = RunIdentity(dag_id="house", run_id="r", task_id="t", try_number=1)
    for name in ("a", "b", "c"):
        world.create(pod(name, run))
    world.fault("DELETE", 403)
    with pytest.raises(ConfigurationError, match="Kubernetes API refuses"):
        remove_orphans(api_of(world), OURS, lambda _: "gone", logging.getLogger(), 72)
    assert world.names() == ["a"]
    assert remove_orphans(api_of(world), OURS, lambda _: "gone", logging.getLogger(), 72) == ["a"]
    assert world.names() == []


def test_a_new_pod_of_the_same_name_stays(world: KubeWorld) -> None:
    """Between the look and the deletion a retry may have made its pod anew: that one is not touched."""
    run = RunIdentity(dag_id="house", run_id="r", task_id="t", try_number=1)
    world.create(pod("one", run))

    def state_of(_: RunIdentity) -> str:
        world.life("one").end(grace=0)
        world.create(pod("one", run))
        return "failed"

    remove_orphans(api_of(world), OURS, state_of, logging.getLogger(), 72)
    assert world.names() == ["one"]
    assert len(world.created) == 2


def test_kept_pods_go_after_their_time(world: KubeWorld) -> None:
    """A pod that was kept for a look at it stays as long as was said, or as long as its run is known."""
    run = RunIdentity(dag_id="house", run_id="r", task_id="t", try_number=1)
    long_ago = stamp(datetime.now(UTC) - timedelta(hours=73))
    for name, ended in (("new", stamp()), ("old", long_ago)):
        life_ends = (scheduled(), running(), exited(1))
        world.next(*life_ends)
        world.create(pod(name, run, **{DECIDED: "true"}))
        world.until(lambda name=name: world.life(name).ended.is_set())
        world.life(name).pod["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = ended
    assert remove_orphans(api_of(world), OURS, lambda _: "failed", logging.getLogger(), 72) == ["old"]
    assert remove_orphans(api_of(world), OURS, lambda _: "gone", logging.getLogger(), 72) == ["new"]
