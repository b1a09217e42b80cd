"""Models of every flavor through one door; a missing library is named with the line that installs it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, get_args

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends import environment, lightgbm, models
from airflow_mlops_provider.exceptions import IntegrityError, MissingExtraError, UnknownNameError
from airflow_mlops_provider.jobs.address import address
from airflow_mlops_provider.lifecycle.product import Trainer
from tests.tiny_world import TinyWorld


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Two inputs."""
    random = np.random.default_rng(3)
    return pd.DataFrame({"hour": random.integers(0, 24, 300), "wind": random.normal(size=300)})


@pytest.fixture(scope="module")
def booster(frame: pd.DataFrame) -> lgb.Booster:
    """A small model."""
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    return lgb.train(settings, lgb.Dataset(frame, (frame["wind"] > 0).astype(int)), 5)


def test_lightgbm_is_kept_as_ever(booster: lgb.Booster, frame: pd.DataFrame, tmp_path: Path) -> None:
    """The door adds nothing to LightGBM's files: a model that was kept before there was one has the same, and loads."""
    loaded = models.save(booster, tmp_path / "one", "lightgbm")
    lightgbm.save(booster, tmp_path / "two")
    for name in ("model.lgb", "model.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert models.load(tmp_path / "two").flavor == loaded.flavor == "lightgbm"
    np.testing.assert_array_equal(models.load(tmp_path / "two").predict(frame), booster.predict(frame))
    np.testing.assert_array_equal(loaded.predict(frame), booster.predict(frame))


def test_every_flavor_that_can_be_declared_is_there() -> None:
    """What a trainer may declare as its flavor, and what can be kept, is the same."""
    assert set(get_args(Trainer.model_fields["flavor"].annotation)) == models.FLAVORS.keys()


def test_unknown_flavors_are_named(booster: lgb.Booster, tmp_path: Path) -> None:
    """A flavor that nobody knows, asked for or found in a folder, is refused with the known ones."""
    with pytest.raises(UnknownNameError, match="unknown model flavor 'pickle'; known: lightgbm, torch"):
        models.save(booster, tmp_path, "pickle")
    (tmp_path / "model.json").write_text(json.dumps({"flavor": "later"}))
    with pytest.raises(UnknownNameError, match="'later'"):
        models.load(tmp_path)


@pytest.mark.parametrize("text", [None, "", "{", "[]"])
def test_a_folder_without_a_model_is_refused(tmp_path: Path, text: str | None) -> None:
    """A folder that does not say what it holds is an integrity error."""
    if text is not None:
        (tmp_path / "model.json").write_text(text)
    with pytest.raises(IntegrityError, match="run the training again"):
        models.load(tmp_path)


def test_a_missing_library_comes_with_its_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training names the extra that has everything; a server is told the one library that it lacks."""
    real = importlib.util.find_spec
    absent = {"torch", "onnx", "onnxscript", "onnxruntime"}
    monkeypatch.setattr(models, "find_spec", lambda name: None if name in absent else real(name))
    models.check_installed("lightgbm")
    with pytest.raises(MissingExtraError, match=r"need torch, onnx.*; run: pip install 'airflow-mlops-provider\[torch"):
        models.check_installed("torch")
    (tmp_path / "model.json").write_text(json.dumps({"flavor": "torch"}))
    with pytest.raises(MissingExtraError, match=r"torch models need onnxruntime; run: pip install onnxruntime$"):
        models.load(tmp_path)


@pytest.mark.parametrize(
    ("package", "flavor", "jobs"),
    [
        ("lightgbm", "lightgbm", {"train", "evaluate", "predict"}),
        ("lightgbm", "torch", {"evaluate", "predict"}),  # a champion may be of another flavor
        ("torch", "torch", {"train"}),
        ("torch", "lightgbm", set()),
        ("onnxruntime", "torch", {"train", "evaluate", "predict"}),
    ],
)
def test_a_flavors_libraries_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, flavor: str, jobs: set[str]
) -> None:
    """Another version of a flavor's library moves what trains or predicts with it."""
    world = TinyWorld(tmp_path)
    trainer: dict[str, Any] = {"code": f"{world.name}.trainer:train", "flavor": flavor, "requires": []}
    product = world.product.model_copy(update={"trainer": Trainer.model_validate(trainer)})

    def addresses() -> dict[str, str]:
        return {job: address(world.spec(job), product) for job in ("train", "evaluate", "predict", "drift")}

    before, real = addresses(), environment.version
    monkeypatch.setattr(environment, "version", lambda name: "99" if name == package else real(name))
    after = addresses()
    world.close()
    assert {job for job in before if before[job] != after[job]} == jobs


def test_gpus_are_on_record(tmp_path: Path) -> None:
    """The driver's GPUs are told by model, without any library; a machine without a driver has none."""
    for number, model in enumerate(("NVIDIA H100 80GB HBM3", "NVIDIA A100")):
        folder = tmp_path / f"0000:0{number}:00.0"
        folder.mkdir()
        (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t 12\nGPU UUID: \t GPU-1\n")
    assert environment.gpus(tmp_path) == ["NVIDIA A100", "NVIDIA H100 80GB HBM3"]
    assert environment.gpus(tmp_path / "nowhere") == []
