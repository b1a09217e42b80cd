"""Jobs killed at each of their writes, then run again: what was begun is finished, once."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.exceptions import JobLostError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, leading_to
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.declared import specify
from tests.factories.rain import NAME, PRODUCTS, deliver, product, year

pytestmark = pytest.mark.skipif(
    os.environ.get("MLOPS_TEST_WEATHER") != "1", reason="takes long: MLOPS_TEST_WEATHER=1 runs it"
)
KILLING = Path(__file__).parents[2] / "killing"


@dataclass
class World:
    """An artifact root, the jobs that fill it, and what they handed on.

    :param made: results by the job's name, and the features by year.
    """

    folder: Path
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.folder / "artifacts"

    @property
    def mlflow(self) -> MlflowBackend:
        return MlflowBackend(f"sqlite:///{self.root}/mlflow.db")

    def spec(self, name: str, interval: Any = None, params: Any = None, **inputs: Any) -> JobSpec:
        """Return what asks for one job."""
        services = Services(landing=str(self.folder / "landing"), mlflow=self.mlflow.uri)
        identity = RunIdentity(dag_id="by_hand", run_id=str(interval), task_id=name)
        given: dict[str, Any] = {"interval": interval, "inputs": inputs, "run": identity}
        return specify(name, product(), params, root=str(self.root), services=services, **given)

    def run(self, name: str, *given: Any, **inputs: Any) -> Any:
        """Run one job undisturbed, in a process of its own as always, and return its result."""
        manifest = run(self.spec(name, *given, **inputs))
        self.made[name] = manifest.result
        return manifest.result

    def survive(self, name: str, *given: Any, kills: int, **inputs: Any) -> Any:
        """Run a job again and again, killed each time at a write that it did not die at before; return its result.

        :param kills: how many must hit.
        """
        spec = self.spec(name, *given, **inputs)
        log = self.folder / f"{name}-{len(list(self.folder.glob('*.kills')))}.kills"
        while dies(spec, log, self.root):
            pass
        died_at = log.read_text().splitlines()
        assert len(died_at) >= kills, died_at
        self.made[name] = run(spec).result
        print(name, *died_at, sep="\n")
        found = [key for key in open_store(str(self.root)).list(f"{NAME}/{name}") if key.endswith("manifest.json")]
        again = [Manifest.model_validate_json((self.root / key).read_bytes()) for key in found]
        # The last of them may have found its work finished, and points to it.
        mine = [manifest for manifest in again if manifest.spec.identity() == spec.identity() and not manifest.original]
        assert [manifest.state for manifest in mine] == ["success"]
        return self.made[name]


def run(spec: JobSpec, **env: str) -> Manifest:
    """Run a job at the default place."""
    return LocalProcess(env=env).run(spec, {}, logging.getLogger("tests.killed"))


def dies(spec: JobSpec, log: Path, below: Path) -> bool:
    """Run a job that dies at a write that is not in the log yet; False if there is none left, and so it succeeded."""
    died_before = log.read_text().splitlines() if log.exists() else []
    try:
        run(spec, KILL_BELOW=str(below), KILL_LOG=str(log))
    except JobLostError:
        assert len(log.read_text().splitlines()) == len(died_before) + 1
        return True
    return False


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The second product up to the features of its second year, which are computed but not loaded."""
    product()
    one = World(tmp_path_factory.mktemp("killed"))
    one.mlflow.prepare()
    for number in (2012, 2013):
        interval = year(number)
        deliver(one.folder / "landing", interval)
        one.run("clean", interval, raw=one.run("extract", interval))
        tables = leading_to(current(open_store(str(one.root)), NAME, "clean"), interval, 2)
        one.made[str(number)] = one.run("compute", interval, clean=tables)
    return one


@pytest.fixture(autouse=True)
def _killing_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{KILLING}:{PRODUCTS}")


Survive = Callable[[World], None]


@pytest.mark.parametrize(("number", "kills"), [(2012, 7), (2013, 6)])
def test_features_are_loaded_once(world: World, number: int, kills: int) -> None:
    """Killed at each write, the first load and a later one leave every row once in both stores, with equal values."""
    features = world.made[str(number)]
    world.survive("load", year(number), features=features, kills=kills)
    store = FeatureStoreBackend(product().shape, world.root / NAME / "feast")
    (view,) = product().features.views
    offline = pq.read_table(sorted((store.folder / "offline" / view.name).glob("*.parquet"))).to_pandas()
    assert not offline.duplicated([*view.keys, "event_time"]).any()
    years = [str(one) for one in range(2012, number + 1)]
    assert len(offline) == sum(world.made[one].facts["rows"][view.name] for one in years)
    last = offline.sort_values("event_time").groupby(list(view.keys), as_index=False).last()
    online = store.online(last)
    assert online.equals(last[list(view.features)].astype(online.dtypes))
    with sqlite3.connect(store.folder / "online.db") as database:
        counts = database.execute(f"SELECT COUNT(*), COUNT(DISTINCT entity_key) FROM {NAME}_{view.name}").fetchone()
    assert counts == (len(last) * len(view.features), len(last))


def test_a_training_is_told_once(world: World) -> None:
    """Killed at one write after another, a training leaves one MLflow run and one finished logged model."""
    data = world.run("training_set", None, {"evaluate": 1}, features=(world.made["2012"], world.made["2013"]))
    model = world.survive("train", training_set=data, kills=8)
    client = world.mlflow.client
    experiment = client.get_experiment_by_name(NAME).experiment_id
    assert [(one.info.run_id, one.info.status) for one in client.search_runs([experiment])] == [
        (model.facts["run_id"], "FINISHED")
    ]
    assert [one.status.value for one in client.search_logged_models([experiment])] == ["READY"]


def test_a_model_is_registered_once(world: World) -> None:
    """Killed at one write after another, between MLflow's registry and the ledger too, there is one version in both."""
    model, data = world.made["train"], world.made["training_set"]
    evaluation = world.run("evaluate", model=model, training_set=data)
    why = {"cause": "first", "reason": "the first"}
    version = world.survive("register", None, why, model=model, evaluation=evaluation, kills=5)
    assert version.version == 1
    (only,) = world.mlflow.client.search_model_versions(f"name = '{NAME}'")
    assert int(only.version) == 1
    assert world.mlflow.client.get_registered_model(NAME).aliases == {"challenger": 1}
    assert statuses(world) == ["registered"]


def test_each_promotion_step_is_entered_once(world: World) -> None:
    """Killed between a ledger entry and the manifest, a promotion finds how far it came and enters no step twice."""
    data = world.made["training_set"]
    valid = world.run("validate", None, {"what": "training"}, dataset=data)
    inputs = {"version": world.made["register"], "validation": valid, "evaluation": world.made["evaluate"]}
    promoted = world.survive("promote", **inputs, kills=4)
    assert promoted.facts["status"] == "production-ready"
    assert statuses(world) == ["registered", "staging", "production-ready"]


def test_nothing_half_written_is_seen(world: World) -> None:
    """What the kills left unfinished on disk is listed by no reader of the artifact root."""
    left = [path for path in world.root.rglob("*") if path.name.startswith(".tmp-") or path.suffix == ".tmp"]
    assert left  # else nothing was killed where it hurts
    assert not {key for key in open_store(str(world.root)).list(NAME) if "/.tmp-" in key}


def statuses(world: World) -> list[str]:
    """Return what the ledger says, entry by entry."""
    return [entry.status.value for entry in Ledger(open_store(str(world.root)), NAME).entries()]
