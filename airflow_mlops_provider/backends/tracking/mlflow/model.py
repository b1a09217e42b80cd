"""The form in which MLflow keeps and loads a model."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from airflow_mlops_provider.exceptions import UnknownNameError

MODEL = "model"
#: What MLflow needs to load a model of each flavor.
_PACKAGES = {"lightgbm": ("lightgbm", "numpy", "pandas"), "torch": ("onnx", "onnxruntime", "numpy", "pandas")}


def pack_model(folder: Path, target: Path, flavor: str, model_id: str, run_id: str) -> None:
    """Write a model folder as an MLflow model, so that MLflow's own loaders and servers take it.

    Done here and not by ``mlflow.lightgbm.log_model`` and its like: those load the model in a child process to guess
    its requirements. Files are copied as they are, so what MLflow holds is byte for byte what was trained.

    :raises UnknownNameError: for a flavor that has no such form.
    """
    from mlflow.models import Model as MlflowModel

    if flavor not in _PACKAGES:
        raise UnknownNameError("model flavor", flavor, _PACKAGES)
    shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json", ".tmp-*"))
    packages = [f"{name}=={version(name)}" for name in ("mlflow", *_PACKAGES[flavor])]
    (target / "requirements.txt").write_text("\n".join(packages) + "\n")
    packed = MlflowModel(run_id=run_id, model_uuid=model_id, model_id=model_id, artifact_path=MODEL)
    _add_lightgbm(packed) if flavor == "lightgbm" else _add_onnx(packed)
    packed.save(str(target / "MLmodel"))


def _add_lightgbm(packed: Any) -> None:
    from mlflow import pyfunc

    pyfunc.add_to_model(packed, loader_module="mlflow.lightgbm", data="model.lgb")
    packed.add_flavor(
        "lightgbm", lgb_version=version("lightgbm"), data="model.lgb", model_class="lightgbm.basic.Booster"
    )


def _add_onnx(packed: Any) -> None:
    """Name the graph as MLflow's ONNX model: it takes ``numbers`` and ``codes``, as ``model.json`` describes them."""
    from mlflow import pyfunc

    providers, data = ["CPUExecutionProvider"], "model.onnx"
    pyfunc.add_to_model(packed, loader_module="mlflow.onnx", data=data, providers=providers)
    packed.add_flavor("onnx", onnx_version=version("onnx"), data=data, providers=providers)
