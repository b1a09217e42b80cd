"""What an MLflow model says of itself: inputs and outputs, an example, what it needs, and who loads it."""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.tracking.mlflow.packing import example, pack_model, requirements

INPUTS = [
    {"name": "carrier", "categories": ["AA", "B6", "UA"]},
    {"name": "wind", "categories": None},
    {"name": "hour", "categories": [0, 1, 23]},
    {"name": "late", "categories": [False, True]},
    {"name": "empty", "categories": []},
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of text, numbers and numeric categories, packed."""
    random, folder = np.random.default_rng(3), tmp_path_factory.mktemp("model")
    features = pd.DataFrame(
        {
            "carrier": pd.Categorical(random.choice(["AA", "UA"], 300)),
            "wind": random.normal(size=300),
            "hour": pd.Categorical(random.integers(0, 24, 300)),
        }
    )
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    label = (features["wind"] > 0).astype(int)
    models.save(lightgbm.train(settings, lightgbm.Dataset(features, label), 5), folder / "saved", "lightgbm", features)
    (folder / "saved" / "reference").mkdir()
    (folder / "saved" / "reference" / "part.parquet").write_bytes(b"rows")
    (folder / "saved" / "manifest.json").write_text("{}")
    pack_model(folder / "saved", folder / "packed", "lightgbm", model_id="m-1", run_id="2")
    return folder / "packed"


def test_the_signature_is_what_the_model_takes(packed: Path) -> None:
    """Text for categories of text, a double for all else, each of them required; a double a row comes out."""
    from mlflow.models import Model

    model = Model.load(str(packed))
    assert [(column.name, column.type.name, column.required) for column in model.signature.inputs] == [
        ("carrier", "string", True),
        ("wind", "double", True),
        ("hour", "double", True),
    ]
    assert [(column.type, column.shape) for column in model.signature.outputs] == [(np.dtype("float64"), (-1,))]
    assert (model.model_id, model.run_id) == ("m-1", "2")


def test_the_example_is_nobodys_row() -> None:
    """Its values come from the categories and are plain numbers, of the types that the signature names."""
    rows = example(INPUTS)
    assert rows.to_dict("list") == {
        "carrier": ["AA", "UA"],
        "wind": [0.0, 1.0],
        "hour": [0.0, 23.0],
        "late": [0.0, 1.0],
        "empty": [0.0, 1.0],
    }
    assert [kind.name for kind in rows.dtypes] == ["object", *["float64"] * 4]


def test_the_example_is_one_that_servers_take(packed: Path) -> None:
    """As a file that can be posted as it is."""
    said = json.loads((packed / "serving_input_example.json").read_text())["dataframe_split"]
    assert said["columns"] == ["carrier", "wind", "hour"]
    assert said["data"][0] == ["AA", 0.0, 0.0]


def test_it_needs_only_what_predicting_needs(packed: Path) -> None:
    """Pinned to what is installed here, the same for pip, virtualenv and conda; nothing of Airflow or of ours."""
    lines = (packed / "requirements.txt").read_text().split()
    known = environment.versions(["lightgbm", "mlflow-skinny", "numpy", "pandas"])
    assert lines == [f"{name}=={version}" for name, version in known.items()]
    import yaml

    (pip,) = [entry["pip"] for entry in yaml.safe_load((packed / "conda.yaml").read_text())["dependencies"][2:]]
    assert pip == lines
    assert yaml.safe_load((packed / "python_env.yaml").read_text())["dependencies"] == ["-r requirements.txt"]


def test_a_build_of_one_machine_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """``1.2+cpu`` is in no index; what has another name here is left to pip."""
    monkeypatch.setattr(environment, "all_versions", lambda: {"runtime": "1.2+cpu"})
    assert requirements(["runtime", "strange"]) == ["runtime==1.2", "strange"]


def test_files_are_copied_as_they_are(packed: Path) -> None:
    """The model's own, byte for byte, without the record of the job that made them."""
    saved = packed.parent / "saved"
    for file in ("model.lgb", "model.json", "reference/part.parquet"):
        assert (packed / file).read_bytes() == (saved / file).read_bytes()
    assert not (packed / "manifest.json").exists()


def test_libraries_own_loaders_take_it_too(packed: Path) -> None:
    """MLflow's loader of LightGBM gives the booster."""
    import mlflow

    assert mlflow.lightgbm.load_model(str(packed)).num_trees() == 5
