"""Finished work starts no pod, where the image is named by its digest; by a tag, only the pod itself can know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import IntegrityError, MLOpsError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset
from tests.factories.kube.pod_world import LOG, Task, connect, place_of
from tests.factories.kube.world import KubeWorld
from tests.factories.tiny import DELIVERY, TinyWorld

ROOT = Path(__file__).parents[3]
PINNED = f"registry.example/jobs@sha256:{'a' * 64}"


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[TinyWorld]:
    """A product whose jobs are quick."""
    world = TinyWorld(tmp_path)
    yield world
    world.close()


@pytest.fixture
def kube(tiny: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeWorld]:
    """A cluster whose pods can run the product's jobs."""
    world = KubeWorld(tmp_path, {"PYTHONPATH": f"{ROOT}:{tiny.products}"})
    connect(monkeypatch, world.kubeconfig)
    yield world
    world.close()


def clean(tiny: TinyWorld, image: str, run: str, *, force: bool = False) -> Manifest:
    """Run the rules in a pod, on whatever is delivered now."""
    spec = tiny.cleaning(force=force)
    spec = spec.model_copy(update={"run": spec.run.model_copy(update={"run_id": run})})
    return place_of(tiny, image=image, deferrable=False).run(spec, {}, LOG, Task(run_id=run).next_try())


def test_a_pinned_image_is_not_started_for_finished_work(tiny: TinyWorld, kube: KubeWorld) -> None:
    """Nothing changed: no second pod. Another row: a pod. The first rows again, or force: found, or done anew."""
    first = clean(tiny, PINNED, "one")
    assert first.image == PINNED.partition("@")[2]
    assert clean(tiny, PINNED, "two") == first
    assert len(kube.created) == 1
    tiny.deliver(DELIVERY.replace("2.5", "3.5"))
    other = clean(tiny, PINNED, "three")
    assert other.result != first.result
    assert len(kube.created) == 2
    tiny.deliver(DELIVERY)
    assert clean(tiny, PINNED, "four").result == first.result
    assert len(kube.created) == 2
    assert clean(tiny, PINNED, "five", force=True).spec.run.run_id == "five"
    assert len(kube.created) == 3


def test_another_image_is_asked_itself(tiny: TinyWorld, kube: KubeWorld) -> None:
    """Of an image that never ran, and of one named by a tag, nobody knows what it holds: the pod finds the work."""
    first = clean(tiny, PINNED, "one")
    for number, image in enumerate((PINNED.replace("a", "b"), "registry.example/jobs:latest"), 2):
        assert clean(tiny, image, str(number)) == first
        assert len(kube.created) == number


def test_a_record_that_does_not_add_up_is_not_trusted(tiny: TinyWorld, kube: KubeWorld) -> None:
    """If what an image's record names does not lead to its own address, a pod is started."""
    clean(tiny, PINNED, "one")
    (record,) = (tiny.root / tiny.name / "images").glob("*/clean/manifest.json")
    told = Manifest.model_validate_json(record.read_text())
    changed = {**told.packages, "pandas": "0.0"}
    record.write_text(told.model_copy(update={"packages": changed}).model_dump_json())
    clean(tiny, PINNED, "two")
    assert len(kube.created) == 2


def test_a_claim_starts_no_pod_and_finds_no_work(tiny: TinyWorld, kube: KubeWorld) -> None:
    """Another content's hash for what is recorded is refused before there is a pod, whatever was made of that hash."""
    spec = tiny.cleaning()
    clean(tiny, PINNED, "one")
    tiny.deliver(DELIVERY.replace("2.5", "3.5"))
    other = tiny.extracted()
    raw = spec.inputs["raw"]
    assert isinstance(raw, Dataset)
    place = place_of(tiny, image=PINNED, deferrable=False)
    forged = {"raw": other.model_copy(update={"hash": raw.hash})}
    with pytest.raises(IntegrityError, match="is not what the reference claims") as raised:
        place.run(spec.model_copy(update={"inputs": forged}), {}, LOG, Task(run_id="two").next_try())
    assert raised.value.result is not None
    assert len(kube.created) == 1


def test_a_failure_is_no_finished_work(tiny: TinyWorld, kube: KubeWorld) -> None:
    """A job that failed is tried again, in a new pod."""
    tiny.write("rules.py", "def clean(raw, interval):\n    raise ValueError('no')\n")
    for number in (1, 2):
        with pytest.raises(MLOpsError, match="ValueError: no"):
            clean(tiny, PINNED, str(number))
        assert len(kube.created) == number
