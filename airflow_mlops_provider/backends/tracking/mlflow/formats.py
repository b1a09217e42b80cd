"""The forms in which MLflow keeps what we give it: training sets as its datasets, model folders as its models."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.references import Dataset

MODEL = "model"
_LONGEST_DIGEST = 36
#: Which part of a training set is used as what.
_PARTS = {"training": "train", "evaluation": "evaluate"}
#: What MLflow needs to load a model of each flavor.
_PACKAGES = {"lightgbm": ("lightgbm", "numpy", "pandas"), "torch": ("onnx", "onnxruntime", "numpy", "pandas")}


def dataset_input(dataset: Dataset, context: Literal["training", "evaluation"]) -> Any:
    """Return a part of a training set as an MLflow ``DatasetInput``, whose source MLflow's own loaders open.

    Within an experiment, name and digest are one dataset; the digest is as much of the hash as MLflow takes.
    """
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag

    part, rows = _PARTS[context], dataset.facts.get("rows")
    profile = {
        "num_rows": rows.get(part) if isinstance(rows, dict) else rows,
        "intervals": dataset.facts.get(part, []),
    }
    entry = MlflowDataset(
        f"training_set/{part}",
        dataset.hash[:_LONGEST_DIGEST],
        "s3" if dataset.uri.startswith("s3://") else "local",
        json.dumps({"uri": dataset.uri}),
        profile=json.dumps(profile),
    )
    return DatasetInput(entry, [InputTag("mlflow.data.context", context), InputTag("sha256", dataset.hash)])


def pack_model(folder: Path, target: Path, flavor: str, model_id: str, run_id: str) -> None:
    """Write a model folder as an MLflow model, so that MLflow's own loaders and servers take it.

    Done here and not by ``mlflow.lightgbm.log_model`` and its like: those load the model in a child process to guess
    its requirements. Files are copied as they are, so what MLflow holds is byte for byte what was trained.

    :raises UnknownNameError: for a flavor that has no such form.
    """
    from mlflow import pyfunc
    from mlflow.models import Model as MlflowModel

    if flavor not in _PACKAGES:
        raise UnknownNameError("model flavor", flavor, _PACKAGES)
    shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json", ".tmp-*"))
    packages = [f"{name}=={version(name)}" for name in ("mlflow", *_PACKAGES[flavor])]
    (target / "requirements.txt").write_text("\n".join(packages) + "\n")
    packed = MlflowModel(run_id=run_id, model_uuid=model_id, model_id=model_id, artifact_path=MODEL)
    if flavor == "lightgbm":
        data, booster = "model.lgb", "lightgbm.basic.Booster"
        pyfunc.add_to_model(packed, loader_module="mlflow.lightgbm", data=data)
        packed.add_flavor("lightgbm", lgb_version=version("lightgbm"), data=data, model_class=booster)
    else:  # the graph takes ``numbers`` and ``codes``, as ``model.json`` describes them
        data, providers = "model.onnx", ["CPUExecutionProvider"]
        pyfunc.add_to_model(packed, loader_module="mlflow.onnx", data=data, providers=providers)
        packed.add_flavor("onnx", onnx_version=version("onnx"), data=data, providers=providers)
    packed.save(str(target / "MLmodel"))
