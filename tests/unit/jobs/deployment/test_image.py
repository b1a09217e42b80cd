"""Which image pods run: the CI's by its record, as the ledger knows it, until another one is declared."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError, DeploymentError, IntegrityError
from airflow_mlops_provider.jobs.deployment import image
from airflow_mlops_provider.lifecycle.references import BuiltImage
from airflow_mlops_provider.lifecycle.release.build import Build
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.sections import Serving
from airflow_mlops_provider.lifecycle.serving.target import KubernetesDeployment
from airflow_mlops_provider.operators.deployment import keep
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.storage.artifacts import FolderStore, open_store
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.ledger import PRODUCT, TO_READY, version


def named(letter: str, repository: str = "registry.example/shop") -> str:
    return f"{repository}@sha256:{letter * 64}"


class World:
    """An artifact root with two versions that may go live, and jobs that are given an image, or none."""

    def __init__(self, root: Path) -> None:
        self.store = FolderStore(root)
        self.ledger = Ledger(open_store(str(root)), PRODUCT)
        self.declared = named("a")
        for number in (1, 2):
            for status in TO_READY:
                self.ledger.move(version(number), status, reason="a test wants it", by="tests")

    def context(self, given: dict[str, Any] | None = None, number: int = 1) -> Any:
        reference = (BuiltImage.model_validate(given),) if given else ()
        inputs, spec = SimpleNamespace(version=version(number)), SimpleNamespace(given=lambda role: reference)
        return SimpleNamespace(
            spec=spec, store=self.store, product=PRODUCT, inputs=inputs, open=Inputs(self.store).open
        )

    @property
    def serving(self) -> Serving:
        return Serving(target=KubernetesDeployment(image=self.declared, no_token=True))

    def used(self, given: dict[str, Any] | None = None, number: int = 1) -> str:
        evidence = image.in_force(self.context(given, number), self.serving)
        target = image.running(self.serving, evidence).target
        assert isinstance(target, KubernetesDeployment)
        return target.image

    def moved(self, number: int, to: Status, given: dict[str, Any] | None = None) -> None:
        evidence = image.in_force(self.context(given, number), self.serving)
        self.ledger.move(version(number), to, reason="a test wants it", by="tests", evidence=evidence)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path))
    return World(tmp_path)


def built(letter: str, **further: str) -> dict[str, Any]:
    return keep(Build(image=named(letter, **further), run="https://ci.example/7", commit="c0ffee"), b"{}")


def test_what_was_built_stays_until_another_one_is_declared(world: World) -> None:
    """Later deployments and reconciliations, which are given none, keep it; a new declaration takes its place."""
    assert world.used() == world.declared
    given = built("b")
    assert world.used(given) == named("b")
    assert world.used() == world.declared  # nothing was entered yet
    world.moved(1, Status.LIVE, given)
    assert (world.used(), world.used(number=2)) == (named("b"), named("b"))
    assert world.used(built("c")) == named("c")  # the live version, from another image
    world.declared = named("d")
    assert world.used() == named("d")


def test_a_rollout_keeps_its_image_and_gives_it_back(world: World) -> None:
    """Until it ends its image runs; once it was rejected the live version's, also for a task that is tried again."""
    world.moved(1, Status.LIVE, built("b"))
    world.moved(2, Status.CANARY, built("c"))
    assert world.used() == world.used(built("e"), 2) == named("c")
    world.ledger.move(version(2), Status.REJECTED, reason="slow", by="tests")
    assert world.used() == world.used(built("c"), 2) == named("b")


def test_what_travels_is_not_believed(world: World) -> None:
    """A record that was changed, that lies elsewhere, or is of another repository's image, is refused, by name."""
    given = built("b")
    with pytest.raises(DeploymentError, match=r"other/shop.*https://ci\.example/7.*run registry\.example/shop"):
        world.used(built("b", repository="registry.example/other/shop"))
    with pytest.raises(ConfigurationError, match="outside the artifact root"):
        world.used({**given, "uri": "file:///etc"})
    with pytest.raises(IntegrityError, match="is not what was recorded"):
        world.used({**given, "hash": "0" * 64})
    record = Path(given["uri"].removeprefix("file://")) / "build.json"
    record.write_text(record.read_text().replace("b" * 64, "f" * 64))
    with pytest.raises(IntegrityError, match="is not what was recorded"):
        world.used(given)
    record.unlink()
    with pytest.raises(IntegrityError):
        world.used(given)


def test_an_image_by_a_tag_is_none(world: World) -> None:
    """Also where the record itself says so."""
    given = built("b")
    record = Path(given["uri"].removeprefix("file://")) / "build.json"
    record.write_text(json.dumps({"image": "registry.example/shop:latest", "run": "", "commit": None}))
    folder = Inputs(world.store)._look(given["uri"])
    with pytest.raises(IntegrityError, match="must be named by its digest"):
        world.used({**given, "hash": folder[1]})


def test_only_pods_have_an_image(world: World) -> None:
    """A server on this machine runs what is installed there."""
    assert image.in_force(world.context(), Serving()) == {}
    with pytest.raises(ConfigurationError, match="an image is for servers on a cluster"):
        image.in_force(world.context(built("b")), Serving())
