"""Places in a real Airflow: three at once in one run of the training DAG, as a product's sections name them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity, Services
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, leading_to
from airflow_mlops_provider.storage.records import Records
from tests.factories.declared import specify
from tests.factories.kube.world import KubeWorld
from tests.factories.rain import NAME, PRODUCTS, deliver, product, year

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]
DAGS = Path(__file__).parents[2] / "dags"
TRAINING, ALONE = f"{NAME}_training", f"{NAME}_gpu_training"
#: What the product says otherwise.
PLACED = (
    ("features=Features(", 'features=Features(place="small",'),
    ("training=Training(", 'training=Training(place="gpu",'),
)


class Airflow:
    """An Airflow whose one switched-on product computes its features in small pods and trains in one with a GPU."""

    def __init__(self, start: Callable[..., Stack], folder: Path) -> None:
        self.root = folder / "artifacts"
        self.kube = KubeWorld(folder, {"PYTHONPATH": str(folder / "products")})
        declare(folder / "products" / NAME)
        engineer(self.root, folder / "landing")
        connection = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(self.kube.config)}}
        options = {
            "PLACES": json.dumps(places(str(self.root))),
            "PRODUCTS_FOLDERS": str(folder / "products"),
            "ARTIFACT_ROOT": str(self.root),
            "LANDING_ROOT": str(folder / "landing"),
            "POKE_SECONDS": "1",
        }
        env = {f"AIRFLOW__MLOPS__{name}": value for name, value in options.items()}
        env |= {
            "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        }
        self.api = start(DAGS, env=env).api

    def switch_on(self, dag_id: str) -> None:
        """Let a DAG run, once it is there."""
        self.until(lambda: any(dag["dag_id"] == dag_id for dag in self.api.rows("dags", "dags")))
        self.api.call("PATCH", f"dags/{dag_id}", body={"is_paused": False})

    def run(self, dag_id: str, **form: str) -> tuple[str, dict[str, str]]:
        """Run a DAG by hand to its successful end, and return the run's id and its tasks' states."""
        run_id = self.api.trigger(dag_id, form)
        self.until(lambda: self.api.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"] in {"success", "failed"})
        states = {task["task_id"]: task["state"] for task in self.api.task_instances(dag_id, run_id)}
        assert {*states.values()} <= {"success", "skipped"}, states
        return run_id, states

    def pods(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the specifications of the pods that were submitted for a run, by task."""
        notes = [(pod["metadata"]["annotations"], pod["spec"]) for pod in self.kube.created]
        return {note["mlops/task-id"]: spec for note, spec in notes if note["mlops/run-id"] == run_id}

    def until(self, holds: Callable[[], Any], seconds: float = 800) -> None:
        """Wait until something holds."""
        ends = time.monotonic() + seconds
        while not holds():
            tasks = [f"{task['dag_id']}.{task['task_id']} {task['state']}" for task in self.api.task_instances()]
            assert time.monotonic() < ends, (tasks, self.kube.names(), self.api.get("importErrors"))
            time.sleep(0.5)


def declare(folder: Path) -> None:
    """Write the product, its features and its training at places of their own."""
    shutil.copytree(PRODUCTS / NAME, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "product.py").read_text("utf-8")
    for old, new in PLACED:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "product.py").write_text(text, "utf-8")


def engineer(root: Path, landing: Path) -> None:
    """Take two years from their deliveries to the feature store, here and now."""
    services = Services(landing=str(landing), mlflow=f"sqlite:///{root}/mlflow.db")

    def run(job: str, interval: Interval, **inputs: Any) -> Any:
        identity = RunIdentity(dag_id="by_hand", run_id=str(interval), task_id=job)
        given: dict[str, Any] = {"interval": interval, "inputs": inputs, "run": identity}
        manifest = runner.run(specify(job, product(), root=str(root), services=services, **given))
        assert manifest.result, manifest.failure
        return manifest.result

    for interval in (year(2012), year(2013)):
        deliver(landing, interval)
        run("clean", interval, raw=run("extract", interval))
        clean = leading_to(current(open_store(str(root)), NAME, "clean"), interval, 2)
        run("load", interval, features=run("compute", interval, clean=clean))


def places(root: str) -> dict[str, Any]:
    """Return two sizes of pod, as configuration describes them; what names neither runs as a local process."""
    pod = {"kind": "kubernetes_pod", "poll_seconds": 0.3, "volumes": [{"path": root, "host_path": root}]}
    gpu = {"image": "trainer", "memory": "8Gi", "gpus": 1, "gpu_type": "A100", "node_selector": {"pool": "training"}}
    return {"small": {**pod, "image": "jobs", "memory": "1Gi"}, "gpu": {**pod, **gpu}}


@pytest.fixture(scope="module")
def airflow(stack_factory: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """The Airflow, when the features of two years are there."""
    started = Airflow(stack_factory, tmp_path_factory.mktemp("places"))
    started.switch_on(TRAINING)
    started.switch_on(ALONE)
    yield started
    started.kube.close()


def test_three_places_in_one_run(airflow: Airflow) -> None:
    """Small pod, GPU pod for ``train`` only, local process for the rest; another run trains where its form says.

    The two places give the same address: the second run finds the first one's model, and starts no pod for it.
    """
    first, _ = airflow.run(TRAINING)
    pods = airflow.pods(first)
    assert pods.keys() == {"features.build_training_set", "training.train"}
    small, gpu = ({**pod, **pod["containers"][0]} for pod in pods.values())
    assert (small["image"], small["resources"]["limits"]) == ("jobs", {"memory": "1Gi"})
    assert "nodeSelector" not in small
    assert gpu["image"] == "trainer"
    wanted = {"memory": "8Gi", "nvidia.com/gpu": "1"}
    assert gpu["resources"] == {"requests": wanted, "limits": wanted}
    assert gpu["nodeSelector"] == {"nvidia.com/gpu.product": "A100", "pool": "training"}

    second, _ = airflow.run(TRAINING, place="local_process")
    assert airflow.pods(second).keys() == {"features.build_training_set"}
    records = Records(open_store(str(airflow.root)))
    (trained,) = records.all(NAME, "train")
    assert trained.result
    assert (trained.spec.run.run_id, records.reuses(trained.result)) == (first, 1)
    made = {manifest.spec.job for manifest in records.all(NAME) if manifest.spec.run.run_id == first}
    assert made >= {"train", "validate", "evaluate", "register", "promote"}


def test_a_training_alone(airflow: Airflow) -> None:
    """It trains in the GPU's pod and registers nothing; at a place that nobody described, all of it is skipped."""
    run, states = airflow.run(ALONE)
    assert {*states.values()} == {"success"}
    assert airflow.pods(run)["training.train"]["nodeSelector"]["pool"] == "training"
    run, states = airflow.run(ALONE, place="attic")
    assert {*states.values()} == {"skipped"}
    assert airflow.pods(run) == {}
