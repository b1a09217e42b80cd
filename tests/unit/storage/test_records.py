"""Reading records: how a result was made, also after a rerun wrote another manifest to the same address."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import MissingRecordError, UnknownNameError
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion, Reference
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records
from tests.factories.tiny import DELIVERY, TinyWorld, manifests

OTHER = "shop,amount,at\nnorth,9,2024-01-01T08:00:00Z\n"


def records(world: TinyWorld, root: Path | None = None) -> Records:
    return Records(FolderStore(root or world.root))


def result_of(spec: JobSpec) -> Reference:
    """Run a job and return its result."""
    manifest = run(spec)
    assert manifest.result is not None, manifest.failure
    return manifest.result


def test_the_way_back_to_the_raw_data(make: Callable[..., TinyWorld]) -> None:
    """A result's record is found, and from it all that it was made of, once each."""
    world = make()
    manifest = run(world.cleaning())
    assert manifest.result is not None
    found = records(world).manifest_of(manifest.result)
    assert found == manifest
    (raw,) = records(world).ancestors(found)
    assert raw.manifest == manifests(world, "extract")[0]
    assert raw.reference == raw.manifest.result
    assert raw.missing == ""


def test_a_corrected_delivery_does_not_hide_how_the_rows_before_were_made(make: Callable[..., TinyWorld]) -> None:
    """Each content keeps its own record, though both have one address; and so after a delivery that was refused."""
    world = make()
    first = result_of(world.spec("extract"))
    world.deliver(OTHER)
    second = result_of(world.spec("extract", attempt=2))
    world.deliver("")
    assert run(world.spec("extract", attempt=3)).state == "failed"
    told = records(world)
    assert [told.manifest_of(one).spec.run.try_number for one in (first, second)] == [1, 2]
    assert [told.manifest_of(one).result for one in (first, second)] == [first, second]
    states = [(one.state, one.spec.run.try_number) for one in told.all(world.name, "extract")]
    assert sorted(states) == [("failed", 3), ("success", 1), ("success", 2)]


def test_the_same_rows_from_another_file(make: Callable[..., TinyWorld]) -> None:
    """Of two runs that made the very same bytes, a reference leads to the one that read the file that it names."""
    world = make()
    first = result_of(world.spec("extract"))
    world.deliver(DELIVERY.replace("1.5", "1.50"))
    second = result_of(world.spec("extract", attempt=2))
    assert first.hash == second.hash
    assert [records(world).manifest_of(one).spec.run.try_number for one in (first, second)] == [1, 2]


def test_a_missing_record_is_said_and_not_guessed(make: Callable[..., TinyWorld]) -> None:
    """A manifest of other content does not stand in for one that is gone; the rest of the chain is told."""
    world = make()
    manifest = run(world.cleaning())
    assert manifest.result is not None
    for file in (world.root / world.name / "extract").glob("*/*.json"):
        file.unlink()
    world.deliver(OTHER)
    run(world.spec("extract"))
    told = records(world)
    (raw,) = told.ancestors(manifest)
    assert raw.manifest is None
    assert raw.reference.hash[:12] in raw.missing
    with pytest.raises(MissingRecordError, match=f"{raw.reference.uri}.*{raw.reference.hash[:12]}"):
        told.manifest_of(raw.reference)
    with pytest.raises(MissingRecordError):
        told.manifest_of(Model(uri="file:///elsewhere/model", hash="0" * 64))


def test_a_copied_root_reads_the_same(make: Callable[..., TinyWorld], tmp_path: Path) -> None:
    """References name the root in which they were made; a copy of it elsewhere is read all the same."""
    world = make()
    manifest = run(world.cleaning())
    shutil.copytree(world.root, tmp_path / "copy")
    shutil.rmtree(world.root)
    assert [one.missing for one in records(world, tmp_path / "copy").ancestors(manifest)] == [""]


def test_a_version_and_the_known_ones(make: Callable[..., TinyWorld]) -> None:
    """A version comes with its moves and its maker's record; one that is not there is named with those that are."""
    world = make()
    made = result_of(world.cleaning())
    version = ModelVersion(uri=made.uri, hash=made.hash, name=world.name, version=1)
    Ledger(FolderStore(world.root), world.name).move(version, Status.REGISTERED, reason="first", by="tests")
    told = records(world)
    found = told.version(world.name, 1)
    assert found.version == version
    assert [entry.status for entry in told.moves(world.name, 1)] == [Status.REGISTERED]
    assert found.trained.result == made
    assert found.registered is None
    assert told.products() == [world.name]
    with pytest.raises(UnknownNameError, match=f"{world.name}@2.*known: {world.name}@1"):
        told.version(world.name, 2)
    with pytest.raises(UnknownNameError, match=f"'nothing'; known: {world.name}"):
        told.version("nothing", 1)
