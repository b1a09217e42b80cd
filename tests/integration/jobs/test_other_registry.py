"""Another MLflow server than that of the ledger's versions: noticed and named, and taken over when a person says so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends.tracking.mlflow.adoption import adopt
from airflow_mlops_provider.backends.tracking.mlflow.mirror import HEAD, Mirror
from airflow_mlops_provider.exceptions import OtherRegistryError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.shop import DAYS, ShopWorld

pytestmark = pytest.mark.timeout(600)


class Moving(ShopWorld):
    """A shop with two versions, the second rejected, and another MLflow to which its connection is set by then."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.first = self.learn()
        self.data: Dataset = self.job(
            "training_set", DAYS[-1], {"evaluate": 1}, features=tuple(self.engineer(day) for day in DAYS)
        )
        self.own = Mirror(f"sqlite:///{self.root}/mlflow.db", self.name)
        self.ledger = Ledger(FolderStore(self.root), self.name)
        self.second = self.trained(self.own, 5)
        self.ledger.move(self.second, Status.REJECTED, reason="weak", by="tests")
        self.own.follow(self.ledger)

    def at(self, mirror: Mirror, name: str, **fields: Any) -> Manifest:
        """Run one job with an MLflow."""
        spec = self.spec(name, **fields)
        return run(spec.model_copy(update={"services": spec.services.model_copy(update={"mlflow": mirror.uri})}))

    def trained(self, mirror: Mirror, leaves: int) -> Any:
        """Train, evaluate and register with an MLflow, and return the version, or the failure."""
        settings = {"settings": {"num_leaves": leaves}}
        model = self.at(mirror, "train", interval=DAYS[-1], params=settings, inputs={"training_set": self.data}).result
        assert isinstance(model, Model)
        judged = {"model": model, "training_set": self.data}
        evaluation = self.at(mirror, "evaluate", interval=DAYS[-1], inputs=judged).result
        assert isinstance(evaluation, Report)
        done = self.at(mirror, "register", interval=None, inputs={"model": model, "evaluation": evaluation})
        return done.result or done.failure


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moving]:
    """The shop; what a test adds to the ledger is taken away again."""
    world = Moving(tmp_path_factory.mktemp("moving"))
    yield world
    world.close()


@pytest.fixture
def other(shop: Moving, tmp_path: Path) -> Iterator[Mirror]:
    """An MLflow that knows nothing of the shop."""
    ledger, kept = shop.root / shop.name / "ledger", tmp_path / "ledger"
    shutil.copytree(ledger, kept)
    yield Mirror(f"sqlite:///{tmp_path}/other.db", shop.name)
    shutil.rmtree(ledger)
    shutil.copytree(kept, ledger)


def test_the_ledgers_versions_keep_their_numbers(shop: Moving, other: Mirror) -> None:
    """With another server nothing is registered, there or in the ledger; the error says where to and how to go on."""
    failure, before = shop.trained(other, 6), shop.ledger.entries()
    assert (failure.error, failure.retryable) == ("OtherRegistryError", False)
    for part in (other.uri, "it has no version 2", "mlops_mlflow", f"airflow mlops adopt {shop.name}"):
        assert part in failure.message
    assert other.versions(shop.name) == {}
    assert shop.ledger.entries() == before


def test_a_server_with_others_models_of_that_name(shop: Moving, other: Mirror) -> None:
    """Versions of somebody else under the same name and numbers are no reason to believe that it is the registry."""
    other.client.create_registered_model(shop.name)
    for _ in range(2):
        other.client.create_model_version(shop.name, "s3://x/model", tags={"mlops.model_hash": "0" * 64})
    failure = shop.trained(other, 6)
    assert failure.error == "OtherRegistryError" and "its version 1 is another model" in failure.message
    with pytest.raises(OtherRegistryError, match=r"version 1 of .* is another model than the ledger's"):
        adopt(FolderStore(shop.root), other)


def test_a_server_is_adopted(shop: Moving, other: Mirror) -> None:
    """Versions come with number, model, run and training set, then aliases and head; the next number follows."""
    store = FolderStore(shop.root)
    said = adopt(store, other)
    assert other.versions(shop.name) == {1: shop.first.hash, 2: shop.second.hash}
    assert other.read().head == shop.ledger.head()
    assert other.read().aliases == shop.own.read().aliases
    made = other.client.get_model_version(shop.name, "2")
    logged = other.client.get_run(made.run_id)
    assert logged.data.params["num_leaves"] == "5"
    assert logged.inputs.dataset_inputs[0].dataset.digest == shop.data.hash[:36]
    assert [line.partition(" of ")[0] for line in said] == [
        "version 1", "version 2", "alias challenger", "head"
    ]  # fmt: skip
    assert adopt(store, other) == []
    shop.at(
        shop.own, "train", interval=DAYS[-1], params={"settings": {"num_leaves": 9}}, inputs={"training_set": shop.data}
    )
    failure = shop.trained(other, 9)  # of which the run is on the first server
    assert failure.error == "OtherRegistryError" and "train again with Force" in failure.message
    third = shop.trained(other, 8)
    assert isinstance(third, ModelVersion) and third.version == 3


def test_a_head_that_is_lost_is_adopted_again(shop: Moving, other: Mirror) -> None:
    """Where nothing but the head is gone, taking over makes nothing but the head."""
    del other
    shop.own.client.delete_registered_model_tag(shop.name, HEAD)
    (line,) = adopt(FolderStore(shop.root), shop.own)
    assert line.startswith("head of the ledger") and shop.own.read().head == shop.ledger.head()


def test_a_server_that_was_set_back(shop: Moving, other: Mirror) -> None:
    """An MLflow restored from before version 2, whose head the ledger goes on from, gives no number a second time."""
    store = FolderStore(shop.root)
    entries = shop.ledger.entries()
    for entry in entries[1:]:
        (shop.root / shop.ledger.file(entry.sequence)).unlink()
    adopt(store, other)
    for entry in entries[1:2]:  # the second registration alone: a test's rejection has no report behind it
        shop.ledger.move(entry.version, Status.REGISTERED, reason=entry.reason, by=entry.by)
    assert set(other.versions(shop.name)) == {1}
    third = shop.trained(other, 7)
    assert isinstance(third, ModelVersion) and third.version == 3
    assert set(other.versions(shop.name)) == {1, 3}
    assert "version 2 of" in adopt(store, other)[0] and "any more" in adopt(store, other)[0]
