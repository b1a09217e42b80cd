"""The form in which MLflow keeps and loads a model."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigurationError

MODEL = "model"


def pack_model(folder: Path, target: Path, flavor: str, model_id: str, run_id: str) -> None:
    """Write a model folder as an MLflow model, so that MLflow's own loaders and servers take it.

    Done here and not by ``mlflow.lightgbm.log_model``: that loads the model in a child process to guess its
    requirements. Files are copied as they are, so what MLflow holds is byte for byte what was trained.

    :raises ConfigurationError: for a flavor that has no such form.
    """
    from mlflow import pyfunc
    from mlflow.models import Model as MlflowModel

    if flavor != "lightgbm":
        raise ConfigurationError(f"unknown model flavor {flavor!r}; known: lightgbm")
    shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json", ".tmp-*"))
    packages = [f"{name}=={version(name)}" for name in ("mlflow", "lightgbm", "numpy", "pandas")]
    (target / "requirements.txt").write_text("\n".join(packages) + "\n")
    packed = MlflowModel(run_id=run_id, model_uuid=model_id, model_id=model_id, artifact_path=MODEL)
    pyfunc.add_to_model(packed, loader_module="mlflow.lightgbm", data="model.lgb")
    packed.add_flavor(
        "lightgbm", lgb_version=version("lightgbm"), data="model.lgb", model_class="lightgbm.basic.Booster"
    )
    packed.save(str(target / "MLmodel"))
