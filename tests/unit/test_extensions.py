"""Parts are found by built-in name, import path or entry point, each kind by the same rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops_provider import extensions
from airflow_mlops_provider.exceptions import ConfigurationError, PartError, UnknownNameError
from airflow_mlops_provider.extensions import FLAVORS, JOBS, STORES, VALIDATORS, ExtensionPoint
from airflow_mlops_provider.lifecycle.records.spec import Repository
from airflow_mlops_provider.lifecycle.sections import Monitoring, Trainer
from airflow_mlops_provider.runtime.definition import all_jobs, find_job
from airflow_mlops_provider.storage.artifacts import open_store

POINTS = [value for value in vars(extensions).values() if isinstance(value, ExtensionPoint)]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes some distributions be installed, each with one entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for kept in ("_elsewhere", "_entries"):  # nothing is kept of it
        monkeypatch.setattr(extensions, kept, getattr(extensions, kept).__wrapped__)

    def install(name: str, group: str, entry: str) -> None:
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")

    return install


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.kind)
def test_ours_keep_their_own_rules(point: ExtensionPoint) -> None:
    """Each part of ours is what its kind must be; a name that nobody gave lists those known."""
    names = all_jobs() if point is JOBS else point.builtin
    assert names
    for name in names:
        part = point.find(name)
        assert isinstance(part, type) == point.classes
    for name in ("no_such_part", "base", "__init__", ""):
        with pytest.raises(UnknownNameError, match=f"unknown {point.kind} '{name}'; known: .*{min(point.builtin)}"):
            point.find(name)
    assert point.group == f"airflow_mlops.{point.group.partition('.')[2]}"


def test_what_is_no_such_part_is_refused() -> None:
    """An import path that leads nowhere, or to something else, is named with what is wrong; no retry helps."""
    for path, wrong in (
        ("no_such_package.part:Thing", "can't be loaded: ModuleNotFoundError"),
        ("math:no_such_thing", "can't be loaded: AttributeError"),
        ("math:pi", r"names 3\.14.*, which is no Flavor"),
        ("pathlib:Path", "which is no Flavor"),
        ("airflow_mlops_provider.backends.models.base:Flavor", "can't be loaded: TypeError"),  # the contract itself
    ):
        with pytest.raises(PartError, match=wrong) as refused:
            FLAVORS.find(path)
        assert not refused.value.retryable
    with pytest.raises(PartError, match="which is no ArtifactStore"):
        STORES.find("pathlib:Path")
    with pytest.raises(PartError, match="which is no JobDefinition"):
        find_job("airflow_mlops_provider.jobs.training.fit:fit")
    with pytest.raises(
        UnknownNameError, match="unknown job 'no_such_job'; known: apply_repository, approve"
    ) as unknown:
        find_job("no_such_job")
    assert "fit" not in str(unknown.value)


def test_a_declaration_is_checked_by_name_alone() -> None:
    """A name that nobody gave is refused where it is declared; a path counts if it reads like one."""
    assert Trainer(code="a:b", flavor="no_such_package:Flavor").flavor == "no_such_package:Flavor"
    for refused, known in (
        (lambda: Trainer(code="a:b", flavor="pickle"), "unknown model flavor 'pickle'; known: catboost, lightgbm"),
        (lambda: Trainer(code="a:b", flavor="../x:y"), "unknown model flavor"),
        (lambda: Monitoring(drift_method="eyes"), "unknown drift method 'eyes'; known: evidently"),
        (
            lambda: Repository(remote="", path="", forge="hub"),
            "unknown forge 'hub'; known: gitea, github, gitlab, plain",
        ),
    ):
        with pytest.raises(ValueError, match=known):
            refused()


def test_an_entry_point_gives_a_name(installed: Callable[..., None]) -> None:
    """A class stands for its instance; the name is known from then on, and listed with the others."""
    installed("one", "airflow_mlops.flavors", "trees = airflow_mlops_provider.backends.models.lightgbm:LightGBM")
    assert type(FLAVORS.find("trees")).__name__ == "LightGBM"
    assert FLAVORS.modules("trees") == {"airflow_mlops_provider.backends.models.lightgbm"}
    assert Trainer(code="a:b", flavor="trees").flavor == "trees"
    with pytest.raises(UnknownNameError, match=r"known: .*lightgbm.*, torch, trees, xgboost"):
        FLAVORS.find("tree")


def test_ours_cannot_be_taken_over(installed: Callable[..., None]) -> None:
    """An entry point that has the name of a part of ours does not come in its place."""
    installed("one", "airflow_mlops.stores", "s3 = pathlib:Path")
    assert STORES.find("s3").__name__ == "BucketStore"


def test_a_name_that_two_gave_is_refused(installed: Callable[..., None]) -> None:
    """Which one was meant depends on nothing but chance; the same part twice is no question."""
    installed("one", "airflow_mlops.validators", "rules = one:Rules")
    installed("two", "airflow_mlops.validators", "rules = two:Rules")
    with pytest.raises(ConfigurationError, match=r"(one|two):Rules and (one|two):Rules are both called 'rules'"):
        VALIDATORS.find("rules")


@pytest.mark.parametrize("uri", ["pathlib:Path://x", "a:b:c://x", "no-such-scheme://x"])
def test_a_scheme_is_no_import_path(uri: str) -> None:
    """A root's URI names a store by its scheme alone."""
    with pytest.raises(ConfigurationError, match="is no artifact root"):
        open_store(uri)
