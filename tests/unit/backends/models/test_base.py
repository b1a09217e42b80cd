"""Models of every flavor through one door; a missing library is named with the line that installs it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models import lightgbm, torch
from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, MissingExtraError, UnknownNameError
from airflow_mlops_provider.extensions import FLAVORS
from airflow_mlops_provider.lifecycle.records.spec import Services
from airflow_mlops_provider.lifecycle.sections import Trainer
from airflow_mlops_provider.problems.binary_classification import PROBLEM
from airflow_mlops_provider.runtime.address import address
from tests.factories.declared import changed, specify
from tests.factories.tiny import TinyWorld


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
    lightgbm.FLAVOR.save(booster, tmp_path / "two")
    for name in ("model.lgb", "model.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert models.load(tmp_path / "two").flavor == loaded.flavor == "lightgbm"
    np.testing.assert_array_equal(models.load(tmp_path / "two").predict(frame), booster.predict(frame))
    np.testing.assert_array_equal(loaded.predict(frame), booster.predict(frame))


def test_every_flavor_that_can_be_declared_is_there() -> None:
    """What a trainer may declare as its flavor, and what can be kept, is the same."""
    assert [*FLAVORS.known()] == [
        *("catboost", "lightgbm", "mlflow", "onnx", "prophet", "scikit_learn", "torch", "xgboost"),
    ]
    for name in FLAVORS.known():
        assert isinstance(FLAVORS.find(Trainer(code="a:b", flavor=name).flavor), models.Flavor)
    with pytest.raises(ValueError, match="unknown model flavor 'pickle'; known: catboost, lightgbm, mlflow"):
        Trainer(code="a:b", flavor="pickle")


def test_unknown_flavors_are_named(booster: lgb.Booster, tmp_path: Path) -> None:
    """A flavor that nobody knows, asked for or found in a folder, is refused with the known ones."""
    with pytest.raises(UnknownNameError, match="unknown model flavor 'pickle'; known: catboost, lightgbm, mlflow"):
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
    monkeypatch.setattr(environment, "versions", lambda names: dict.fromkeys(names, "absent"))
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
    product = changed(world.product, {"training.trainer": Trainer.model_validate(trainer)})

    jobs_of, services = ("train", "evaluate", "predict", "drift"), Services(landing="", mlflow="")

    def addresses() -> dict[str, str]:
        return {job: address(specify(job, product, root=str(tmp_path), services=services)) for job in jobs_of}

    before, real = addresses(), environment.all_versions
    monkeypatch.setattr(environment, "all_versions", lambda: {**real(), package: "99"})
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


# --- what a trainer returns -------------------------------------------------------------------------------------------


class Network:
    """Takes the place of a network, where there is no PyTorch."""


Network.__module__, Network.__qualname__ = "torch.nn.modules.module", "Module"


@pytest.mark.parametrize("returned", [None, (1, 2), lgb.LGBMClassifier, lgb.Dataset(np.zeros((2, 2))), np.zeros(3)])
def test_what_fits_no_flavor_is_refused(returned: Any, tmp_path: Path) -> None:
    """What a trainer returns is named, with what its flavor takes; no retry helps, and nothing is written."""
    with pytest.raises(
        ConfigurationError, match=r"the trainer returned .*, but flavor 'lightgbm' takes .*Booster"
    ) as no:
        models.save(returned, tmp_path, "lightgbm")
    assert not no.value.retryable
    assert not list(tmp_path.iterdir())


def test_the_flavor_that_would_take_it_is_named(
    booster: lgb.Booster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of another known flavor is met with that flavor's name."""
    monkeypatch.setattr(models, "check_installed", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"lightgbm\.basic\.Booster, but.* flavor 'lightgbm' would take it"):
        models.save(booster, tmp_path, "torch")
    with pytest.raises(ConfigurationError, match=r"Module, but flavor 'lightgbm'.* flavor 'torch' would take it"):
        models.save(Network(), tmp_path, "lightgbm")


def test_estimators_of_the_library_are_kept(frame: pd.DataFrame, tmp_path: Path) -> None:
    """LightGBM's own classifier is a model like its booster, also of a class of the user's."""

    class Mine(lgb.LGBMClassifier):  # type: ignore[misc]
        pass

    label = (frame["wind"] > 0).astype(int)
    fitted = Mine(n_estimators=5, verbose=-1, num_threads=1).fit(frame, label)
    found = models.save(fitted, tmp_path, "lightgbm", frame).predict(frame)
    np.testing.assert_array_equal(found, fitted.predict_proba(frame)[:, 1])


def test_inputs_that_assemble_does_not_give_are_named(
    booster: lgb.Booster, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """A model trained on other columns than it will be given, or on bare numbers, is refused when it is kept."""
    with pytest.raises(UnknownNameError, match="unknown input of the trained model 'wind'; known: gust, hour"):
        models.save(booster, tmp_path, "lightgbm", frame.rename(columns={"wind": "gust"}))
    settings = {"objective": "binary", "verbose": -1, "min_data_in_leaf": 5}
    bare = lgb.train(settings, lgb.Dataset(frame.to_numpy(), (frame["wind"] > 0).astype(int)), 2)
    with pytest.raises(UnknownNameError, match="'Column_0'; known: hour, wind"):
        models.save(bare, tmp_path, "lightgbm", frame)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"objective": "regression"}, r"gives -?\d.* for a row, and \d+ of 300 rows no number from 0 to 1"),
        ({"objective": "poisson"}, "no number from 0 to 1"),
    ],
)
def test_what_is_no_probability_is_named(
    settings: dict[str, Any], said: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """A model that predicts something else is named at the first prediction, with what it gave."""
    data = lgb.Dataset(frame, pd.Series(np.arange(300) % 3) * 10)
    trained = lgb.train({**settings, "verbose": -1, "min_data_in_leaf": 5}, data, 20)
    with pytest.raises(ConfigurationError, match=said):
        PROBLEM.checked(models.save(trained, tmp_path, "lightgbm", frame).predict(frame))


@pytest.mark.parametrize(
    "given",
    [np.zeros(299), np.zeros((300, 2, 2)), np.float64(1), np.zeros(300, dtype="float32"), np.zeros(300, dtype=int)],
)
def test_what_is_no_prediction_for_each_row_is_named(
    given: Any, booster: lgb.Booster, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another number of rows, or anything but float64, would go wrong later and elsewhere."""
    monkeypatch.setattr(lightgbm.LightGBM, "predict", lambda self, model, rows: np.asarray(given))
    with pytest.raises(ConfigurationError, match=r"gives an array of shape .* for 300 rows; it must give a float64"):
        models.LoadedModel("lightgbm", booster, lightgbm.FLAVOR).predict(frame)


def test_a_single_column_is_a_number_a_row(
    booster: lgb.Booster, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several outputs are several from two on."""
    for width, shape in ((1, (300,)), (2, (300, 2))):
        given = np.zeros((300, width))
        monkeypatch.setattr(lightgbm.LightGBM, "predict", lambda self, model, rows, given=given: given)
        assert models.LoadedModel("lightgbm", booster, lightgbm.FLAVOR).predict(frame).shape == shape


def test_nan_is_no_probability(booster: lgb.Booster, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a prediction that is missing."""
    monkeypatch.setattr(lightgbm.LightGBM, "predict", lambda self, model, rows: np.full(len(rows), np.nan))
    with pytest.raises(ConfigurationError, match="gives nan for a row, and 300 of 300 rows no number"):
        PROBLEM.checked(models.LoadedModel("lightgbm", booster, lightgbm.FLAVOR).predict(frame))


@pytest.mark.parametrize("inputs", [None, ["hour", "wind"], "hour"])
def test_a_network_that_does_not_say_what_it_takes_is_named(tmp_path: Path, inputs: Any) -> None:
    """Without its inputs by name, nobody could give a network what it learnt from; that is said before the export."""
    network = Network()
    network.inputs = inputs  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="does not say what it takes: give it `inputs`, a dict"):
        torch.FLAVOR.save(network, tmp_path)  # type: ignore[arg-type]


def test_what_is_built_on_a_flavor_is_given_frames(tmp_path: Path, booster: lgb.Booster, frame: pd.DataFrame) -> None:
    """A predict of a user's own was written for frames; one that takes columns says so itself."""

    class Halved(lightgbm.LightGBM):
        def predict(self, model: Any, frame: pd.DataFrame) -> np.ndarray:
            said = super().predict(model, frame)
            return said * frame["wind"].lt(0).map({True: 0.5, False: 1.0}).to_numpy()

    class Renamed(lightgbm.LightGBM):
        words = "models of ours"

    class Quick(Halved):
        by_columns = True

    loaded = models.save(booster, tmp_path / "model", "lightgbm", frame)
    halved = models.LoadedModel("halved", loaded.model, Halved(), loaded.takes)
    np.testing.assert_array_equal(halved.predict(Columns.of(frame)), halved.predict(frame))
    assert (Halved.by_columns, Renamed.by_columns, Quick.by_columns) == (False, True, True)
