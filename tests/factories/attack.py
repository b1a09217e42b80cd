"""The second product with a retired, a live and an undecided version, in a real Airflow that can be tampered with."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.model_server import launcher, releases
from airflow_mlops_provider.backends.model_server.client import server_state, url_of
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror
from airflow_mlops_provider.demo.local_airflow.settings import USER
from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, leading_to
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.asking import ASKS, PEOPLE
from tests.factories.declared import specify
from tests.factories.rain import NAME, PRODUCTS, deliver, product, year

DAGS = Path(__file__).parents[2] / "dags"
TRAINING, DEPLOYMENT, MAINTENANCE = f"{NAME}_training", f"{NAME}_deployment", "mlops_maintenance"
#: A DAG of somebody's own, which deploys what its configuration says.
OWN = """
from airflow.sdk import DAG
from airflow_mlops_provider.operators.deployment import ModelServerDeployVersionOperator
from airflow_mlops_provider.pipelines import products

(product,) = products(__file__)
with DAG("own", schedule=None, render_template_as_native_obj=True, default_args={"retries": 0}):
    ModelServerDeployVersionOperator(task_id="deploy", product=product, version="{{ dag_run.conf['version'] }}")
"""
GOOD, BETTER, WEAK = {"num_leaves": 4}, {"num_leaves": 5}, {"min_data_in_leaf": 100_000}


class AttackWorld:
    """What was made by jobs, and then the Airflow that works on it.

    :param port: the model server's.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.root, self.port, self.dags = folder, folder / "artifacts", port, folder / "dags"
        self.store, self.services = (
            open_store(str(self.root)),
            Services(landing=str(folder / "landing"), mlflow=f"sqlite:///{self.root}/mlflow.db"),
        )
        self.ledger, self.mirror = Ledger(self.store, NAME), Mirror(self.services.mlflow, NAME)
        self.url = url_of("127.0.0.1", port)
        self.stack: Any = None
        product()
        self.features = tuple(self.engineer(number) for number in (2012, 2013))
        self.data: Dataset = self.job("training_set", None, {"evaluate": 1}, features=self.features)
        self.valid: Report = self.job("validate", None, {"what": "training"}, dataset=self.data)
        self.models: list[Model] = []
        self.evaluations: list[Report] = []
        self.versions: list[ModelVersion] = []

    def job(self, name: str, interval: Any = None, params: Any = None, **inputs: Any) -> Any:
        """Run one job here and now, and return its result."""
        identity = RunIdentity(dag_id="by_hand", run_id=f"{interval}", task_id=name)
        given: dict[str, Any] = {"interval": interval, "inputs": inputs, "run": identity}
        told = runner.run(
            specify(name, load_product(NAME), params, root=str(self.root), services=self.services, **given)
        )
        assert told.result is not None, told.failure
        return told.result

    def engineer(self, number: int) -> Any:
        """Take one year from its delivery to the feature store."""
        interval = year(number)
        deliver(self.folder / "landing", interval)
        self.job("clean", interval, raw=self.job("extract", interval))
        tables = leading_to(current(self.store, NAME, "clean"), interval, 2)
        features = self.job("compute", interval, clean=tables)
        self.job("load", interval, features=features)
        return features

    def learn(self, settings: dict[str, Any]) -> ModelVersion:
        """Train, evaluate and register a version."""
        model = self.job("train", None, {"settings": settings}, training_set=self.data)
        live = self.ledger.live()
        champion = {"champion": live} if live else {}
        evaluation = self.job("evaluate", model=model, training_set=self.data, **champion)
        version: ModelVersion = self.job(
            "register", None, {"reason": "a test wants it"}, model=model, evaluation=evaluation
        )
        self.models.append(model)
        self.evaluations.append(evaluation)
        self.versions.append(version)
        return version

    def go_live(self, version: ModelVersion) -> None:
        """Promote and deploy a version."""
        self.job("promote", version=version, validation=self.valid, evaluation=self.evaluations[-1])
        self.job("deploy", None, {"port": self.port}, version=version)

    def start(self, stack_factory: Callable[..., Stack]) -> None:
        """Start an Airflow whose pipelines work on what was made."""
        self.dags.mkdir()
        for file in DAGS.glob("*.py"):
            shutil.copy(file, self.dags)
        maintenance = self.dags / "maintenance.py"
        maintenance.write_text(without_schedule(maintenance.read_text()))
        (self.dags / "own.py").write_text(OWN)
        (self.dags / "asks.py").write_text(ASKS)
        settings = {
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join([f"{USER}:admin", *map(":".join, PEOPLE.items())]),
            "MLOPS__PRODUCTS_FOLDERS": str(PRODUCTS),
            "MLOPS__ARTIFACT_ROOT": str(self.root),
            "MLOPS__LANDING_ROOT": self.services.landing,
            "MLOPS__RETRY_SECONDS": "1",
            "MLOPS__SERVING_PORT": str(self.port),
        }
        self.stack = stack_factory(self.dags, env={f"AIRFLOW__{name}": value for name, value in settings.items()})
        wanted = {TRAINING, DEPLOYMENT, MAINTENANCE, "own", "asks", "asks_briefly"}
        until(lambda: {dag["dag_id"] for dag in self.stack.api.get("dags")["dags"]} >= wanted)
        for dag_id in (DEPLOYMENT, MAINTENANCE, "own"):
            self.pause(dag_id, paused=False)

    def passed(self, settings: dict[str, Any]) -> ModelVersion:
        """Learn a version that passed the gates, though nobody was asked."""
        version, report = self.learn(settings), self.evaluations[-1]
        evidence = {"report": report.uri, "hash": report.hash}
        for to in (Status.STAGING, Status.PRODUCTION_READY):
            self.ledger.move(version, to, reason="a test wants it", by="tests", evidence=evidence)
        self.mirror.follow(self.ledger)
        return version

    def as_person(self, person: str, method: str, path: str, body: Any) -> int:
        """Return what Airflow answers to a call by somebody who is no administrator."""
        status: int = self.stack.api.of(person).answer(method, path, body=body).status_code
        return status

    def answers(self, person: str, run_id: str, choice: str, done: Callable[[], Any]) -> None:
        """Answer what a run of the asking deployment asks, as often as it does, until something is so."""
        task = f"dags/asks/dagRuns/{run_id}/taskInstances/deployment.approve"
        body = {"chosen_options": [choice], "params_input": {"reason": f"{person} says so"}}

        def answered() -> Any:
            if self.stack.api.get(task)["state"] == "awaiting_input":
                time.sleep(2)  # a person reads first
                assert self.as_person(person, "PATCH", f"{task}/-1/hitlDetails", body) in {200, 409}
            return done()

        until(answered, 180)

    def pause(self, dag_id: str, *, paused: bool) -> None:
        """Switch a DAG off or on."""
        self.stack.api.call("PATCH", f"dags/{dag_id}", body={"is_paused": paused})

    def event(self, extra: dict[str, Any]) -> dict[str, str]:
        """Post a production-ready event by hand; return the states of the tasks that it started."""
        assets = self.stack.api.get("assets", limit=100)["assets"]
        (asset,) = (one["id"] for one in assets if one["name"] == f"{NAME}.production_ready")
        before = {run["dag_run_id"] for run in self.stack.api.dag_runs(DEPLOYMENT)}
        self.stack.api.post("assets/events", {"asset_id": asset, "extra": extra})
        until(lambda: {run["dag_run_id"] for run in self.stack.api.dag_runs(DEPLOYMENT)} - before)
        (started,) = {run["dag_run_id"] for run in self.stack.api.dag_runs(DEPLOYMENT)} - before
        return self.ended(DEPLOYMENT, started)

    def run(self, dag_id: str, **conf: Any) -> dict[str, str]:
        """Trigger a DAG and return its tasks' states once it has ended."""
        return self.ended(dag_id, self.stack.api.trigger(dag_id, conf))

    def ended(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Wait for a run and return its tasks' states, by task."""
        path = f"dags/{dag_id}/dagRuns/{run_id}"
        until(lambda: self.stack.api.get(path)["state"] in {"success", "failed"}, 180)
        return {task["task_id"]: task["state"] for task in self.stack.api.task_instances(dag_id, run_id)}

    def train(self, task: str, **handed_on: dict[str, Any]) -> str:
        """Run one task of a training whose others were set to success by hand, with what they are made to hand on.

        :return: the state in which that task ended.
        """
        run_id = self.stack.api.trigger(TRAINING)  # it is paused, so nothing has begun
        path = f"dags/{TRAINING}/dagRuns/{run_id}/taskInstances"
        try:
            until(lambda: self.stack.api.task_instances(TRAINING, run_id))
            ids = [one["task_id"] for one in self.stack.api.task_instances(TRAINING, run_id)]
            for one in ids:
                if one != task:
                    self.stack.api.call("PATCH", f"{path}/{one}", body={"new_state": "success"})
            for name, value in handed_on.items():
                other, _, key = name.partition("__")
                full = next(one for one in ids if one.endswith(f".{other}"))
                entry = {"key": key or "return_value", "value": value}
                until(lambda full=full, entry=entry: self.posted(f"{path}/{full}/xcomEntries", entry))
            self.pause(TRAINING, paused=False)
            until(lambda: self.stack.api.get(f"{path}/{task}")["state"] in {"success", "failed", "skipped"}, 180)
            return str(self.stack.api.get(f"{path}/{task}")["state"])
        finally:
            self.pause(TRAINING, paused=True)
            with_end(self.stack, f"dags/{TRAINING}/dagRuns/{run_id}")

    def posted(self, path: str, body: Any) -> bool:
        """Post something and say whether it is there: SQLite may be locked for a moment."""
        try:
            self.stack.api.post(path, body)
        except BackendError as error:
            return "answered 409" in str(error)
        return True

    def log(self, dag_id: str, task_id: str) -> str:
        """Return what the last try of a task of a DAG's newest run wrote."""
        run = self.stack.api.dag_runs(dag_id)[-1]["dag_run_id"]
        path = f"dags/{dag_id}/dagRuns/{run}/taskInstances/{task_id}"
        tries = self.stack.api.get(path)["try_number"]
        return str(self.stack.api.get(f"{path}/logs/{tries}", full_content="true"))

    def reconciled(self) -> tuple[str, Report]:
        """Run the maintenance, and return the state of the product's task and its report."""
        states = self.run(MAINTENANCE)
        (file,) = (self.root / NAME / "reconcile").glob("*/manifest.json")
        report = Manifest.model_validate_json(file.read_bytes()).result
        assert isinstance(report, Report)
        return states[f"reconcile_{NAME}"], report

    def serving(self) -> ServerState:
        """Return what the model server says of itself."""
        state = server_state(self.url)
        assert state is not None
        return state

    def live(self) -> dict[str, Any]:
        """Return what server, pointer, ledger and MLflow call live."""
        pointer, ledger = releases.read_desired(self.store, NAME), self.ledger.live()
        live = self.serving().live
        return {
            "server": live and (live.version, live.model_hash),
            "pointer": pointer and (pointer.version, pointer.model_hash),
            "ledger": ledger and (ledger.version, ledger.hash),
            "alias": self.mirror.read().aliases["champion"],
        }

    def close(self) -> None:
        """End the model server."""
        launcher.stop(NAME, str(self.root))


def without_schedule(dag: str) -> str:
    """Return a DAG file whose DAG runs when a test wants it, and not at the full hour in the middle of one."""
    changed, times = re.subn(r'schedule="[^"]*"', "schedule=None", dag)
    assert times == 1, dag
    return changed


def with_end(stack: Any, path: str) -> None:
    """Let a run end as failed, if it still goes on: the next one waits for it."""
    try:
        stack.api.call("PATCH", path, body={"state": "failed"})
    except BackendError:
        return


def until(condition: Callable[[], Any], seconds: float = 90) -> None:
    """Wait for something. :raises AssertionError: if it does not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)
