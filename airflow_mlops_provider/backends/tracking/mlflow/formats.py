"""The forms in which MLflow keeps what we give it: training sets as its datasets, model folders as its models."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from airflow_mlops_provider.backends.models.base import LoadedModel, flavor_of, load
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


def can_keep(uri: str) -> bool:
    """Say whether MLflow, or a plug-in of it, knows how to keep files below a URI."""
    from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories

    return "://" not in uri or uri.partition("://")[0] in get_registered_artifact_repositories()


def pack_model(folder: Path, target: Path, flavor: str, model_id: str, run_id: str) -> None:
    """Write a model folder as an MLflow model, so that MLflow's own loaders and servers take it.

    Done here and not by ``mlflow.lightgbm.log_model`` and its like: those load the model in a child process to guess
    its requirements. Files are copied as they are, so what MLflow holds is byte for byte what was trained.

    A flavor that MLflow has no form of its own for is loaded by the provider's own code.
    """
    from mlflow import pyfunc
    from mlflow.models import Model as MlflowModel

    shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json", ".tmp-*"))
    needed = _PACKAGES.get(flavor) or ("airflow-mlops-provider", *flavor_of(flavor).to_predict)
    packages = [f"{name}=={version(name)}" for name in ("mlflow", *needed)]
    (target / "requirements.txt").write_text("\n".join(packages) + "\n")
    packed = MlflowModel(run_id=run_id, model_uuid=model_id, model_id=model_id, artifact_path=MODEL)
    if flavor == "lightgbm":
        data, booster = "model.lgb", "lightgbm.basic.Booster"
        pyfunc.add_to_model(packed, loader_module="mlflow.lightgbm", data=data)
        packed.add_flavor("lightgbm", lgb_version=version("lightgbm"), data=data, model_class=booster)
    elif flavor == "torch":  # the graph takes ``numbers`` and ``codes``, as ``model.json`` describes them
        data, providers = "model.onnx", ["CPUExecutionProvider"]
        pyfunc.add_to_model(packed, loader_module="mlflow.onnx", data=data, providers=providers)
        packed.add_flavor("onnx", onnx_version=version("onnx"), data=data, providers=providers)
    else:
        pyfunc.add_to_model(packed, loader_module=__name__)
    packed.save(str(target / "MLmodel"))


def _load_pyfunc(path: str) -> LoadedModel:
    """Return a model of a flavor that MLflow does not know; MLflow calls it by this name."""
    return load(Path(path))
