"""Lineage as real jobs leave it: from a registered version back to the delivered files, and from any data to it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.cli.lineage import run, uses
from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.records.lineage import Lineage
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore, file_hash
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records
from tests.factories.bucket import s3_server
from tests.factories.shop import DAYS, ShopWorld

REPO = Path(__file__).parents[3]
LARGEST_EXTRA = 4096


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopWorld]:
    """A product with one registered version; after that, its last day was delivered again, corrected."""
    world = ShopWorld(tmp_path_factory.mktemp("shop"))
    world.learn()
    file = world.landing / "sales" / f"{DAYS[-1].start:%Y-%m-%d}.csv"
    shutil.copy(file, world.landing.parent / "as-it-was.csv")
    file.write_text(f"{file.read_text()}north,3.5,{DAYS[-1].start:%Y-%m-%d}T23:58:00Z\n")
    world.job("extract", DAYS[-1])
    yield world
    world.close()


@pytest.fixture(scope="module")
def records(world: ShopWorld) -> Records:
    return Records(FolderStore(world.root))


@pytest.fixture(scope="module")
def graph(world: ShopWorld, records: Records) -> Lineage:
    return records.lineage(world.name, 1)


def test_every_step_has_its_record(world: ShopWorld, graph: Lineage) -> None:
    """Model, training set, two days of features, clean and raw data; the delivery that came later hides none."""
    kinds = [item.kind for item in graph.items]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "model": 1,
        "training set": 1,
        "features": 2,
        "clean data": 2,
        "raw data": 2,
    }
    assert [item.missing for item in graph.items] == [""] * 8
    assert len(graph.links) == 7
    roles = sorted(link.role for link in graph.links if link.target == graph.items[1].id)
    assert roles == ["judged on", "learned from"]


def test_what_the_version_was_made_with(world: ShopWorld, graph: Lineage) -> None:
    """Settings, seed, the commit it stood at, the packages, and the task; the rules behind the clean data by name."""
    model = graph.items[0].made
    assert model is not None
    assert model.settings is not None
    assert model.settings["num_leaves"] == 4
    assert model.seed == world.product.training.trainer.seed
    assert (model.commit.commit, model.commit.dirty) == (world.first, False)
    assert "lightgbm" in graph.environments[model.environment]
    assert (model.run.dag_id, model.run.task_id) == ("tests", "train")
    clean = next(item.made for item in graph.items if item.kind == "clean data")
    assert clean is not None
    rules = {name: sha256 for name, sha256 in clean.code.items() if name.startswith(world.name)}
    assert rules[f"{world.name}.rules:clean"] == file_hash(world.package / "rules.py")
    assert f"{world.name}.limits" in rules  # what the rules import decides, too


def test_the_delivered_files_are_those_that_were_read(world: ShopWorld, graph: Lineage) -> None:
    """Each raw snapshot names its file with the hash that it had, also where another was delivered since."""
    read = {key: sha256 for item in graph.items for key, sha256 in item.files.items()}
    last = f"sales/{DAYS[-1].start:%Y-%m-%d}.csv"
    for key, sha256 in read.items():
        file = world.landing.parent / "as-it-was.csv" if key == last else world.landing / key
        assert sha256 == file_hash(file)
    assert len(read) == 2


@pytest.mark.parametrize("kind", ["training set", "features", "clean data", "raw data"])
def test_from_a_dataset_to_the_models(world: ShopWorld, records: Records, graph: Lineage, kind: str) -> None:
    """The beginning of any dataset's hash leads to the version and where it stands."""
    item = next(item for item in graph.items if item.kind == kind)
    found, made = uses(records, item.hash[:12], None)
    assert item in [one.item for one in found]
    assert {one.item.hash for one in found} == {item.hash}  # rules that drop no row make the raw data's very bytes
    assert [(one.name, one.version, one.status) for one in made] == [(world.name, 1, Status.REGISTERED)]
    assert made[0].through[-1] == "model"


def test_from_a_file_to_the_models(world: ShopWorld, records: Records) -> None:
    """A file that was read leads to the version; the corrected one is known, and no version was made of it."""
    first = world.landing / "sales" / f"{DAYS[0].start:%Y-%m-%d}.csv"
    assert [one.version for one in uses(records, None, str(first))[1]] == [1]
    assert [one.version for one in uses(records, None, str(world.landing.parent / "as-it-was.csv"))[1]] == [1]
    corrected = world.landing / "sales" / f"{DAYS[-1].start:%Y-%m-%d}.csv"
    found, made = uses(records, None, str(corrected))
    assert (len(found), made) == (1, [])
    # By name alone, both contents are meant.
    found, made = uses(records, None, corrected.name)
    assert len({one.sha256 for one in found}) == 2
    assert [one.version for one in made] == [1]
    with pytest.raises(UnknownNameError, match="known: sales/"):
        uses(records, None, "nothing.csv")


def test_the_command(world: ShopWorld, graph: Lineage, tmp_path: Path) -> None:
    """``airflow mlops lineage`` prints the tables, in full width also into a pipe, and draws the graph."""
    drawing = tmp_path / "lineage.svg"
    command = [sys.executable, "-m", "airflow", "mlops", "lineage", f"{world.name}@1"]
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(REPO), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*command, "--root", str(world.root), "--graph", str(drawing)],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wanted = [*(item.hash[:12] for item in graph.items), world.first[:12], "rules:clean", "takings", '"num_leaves": 4']
    assert [told for told in wanted if told not in done.stdout] == []
    assert "…" not in done.stdout
    assert drawing.read_text().startswith("<svg")


def test_the_command_as_json(world: ShopWorld, graph: Lineage, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is in the JSON, whole hashes and every package's version included."""
    nothing = dict.fromkeys(("model", "dataset", "file", "graph"))
    asked = {**nothing, "json": True, "root": str(world.root)}
    run(Namespace(**{**asked, "model": f"{world.name}@v1"}))
    told = json.loads(capsys.readouterr().out)
    assert told.pop("status") == "registered"
    assert Lineage.model_validate(told) == graph
    run(Namespace(**{**asked, "dataset": graph.items[1].hash[:8]}))
    assert [one["version"] for one in json.loads(capsys.readouterr().out)["models"]] == [1]


def test_mlflow_shows_what_it_learned_from_and_was_judged_on(world: ShopWorld, graph: Lineage) -> None:
    """Both parts of the training set are inputs of MLflow's run, each with its context, its rows and the hash."""
    backend = MlflowBackend(f"sqlite:///{world.root}/mlflow.db")
    inputs = backend.client.get_run(graph.version.facts["run_id"]).inputs.dataset_inputs
    told = {
        tag["mlflow.data.context"]: (one.dataset.name, json.loads(one.dataset.profile)["num_rows"], tag["sha256"])
        for one in inputs
        if (tag := {tag.key: tag.value for tag in one.tags})
    }
    rows, content = graph.items[1].rows, graph.items[1].hash
    assert told == {
        "training": ("training_set/train", rows["train"], content),
        "evaluation": ("training_set/evaluate", rows["evaluate"], content),
    }


def test_what_an_asset_event_carries(world: ShopWorld, records: Records) -> None:
    """The reference, and with it hashes, commit, environment and run; small, however many inputs there were."""
    version = records.version(world.name, 1)
    assert version.registered is not None
    extra: dict[str, Any] = event_extra(version.registered, version.version.to_json())
    assert extra["reference"] == version.version.to_json()
    told = extra["lineage"]
    assert told["inputs"][0] == version.version.hash
    assert (told["commit"], told["dirty"], told["job"]) == (world.first, False, "register")
    assert told["run"]["task_id"] == "register"
    assert len(json.dumps(extra)) < LARGEST_EXTRA
    data = records.manifest_of(next(records.ancestors(version.trained)).reference)
    many = {"features": tuple(data.spec.inputs["features"]) * 50}  # type: ignore[arg-type]
    crowded = data.model_copy(update={"spec": data.spec.model_copy(update={"inputs": many})})
    told = event_extra(crowded, {})["lineage"]
    assert len(told["inputs"]) + told["inputs_left_out"] == 100
    assert len(json.dumps(told)) < LARGEST_EXTRA


def test_a_bucket_reads_the_same(world: ShopWorld, graph: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied into a bucket, records and ledger give the same graph."""
    with s3_server() as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="lake")
        bucket = BucketStore("s3://lake/mlops")
        for part in ("extract", "clean", "compute", "training_set", "train", "register", "ledger"):
            for key in FolderStore(world.root).list(f"{world.name}/{part}"):
                if key.endswith(".json"):
                    bucket.write(key, (world.root / key).read_bytes())
        assert Records(bucket).lineage(world.name, 1) == graph
    assert Ledger(FolderStore(world.root), world.name).entries()
