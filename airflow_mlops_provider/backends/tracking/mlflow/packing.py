"""Model folders as MLflow models: with what they take and give, an environment, and the code that applies them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.backends.models.base import flavor_of, load
from airflow_mlops_provider.backends.models.inputs import described, is_text
from airflow_mlops_provider.backends.tracking.mlflow import loader
from airflow_mlops_provider.backends.tracking.mlflow.carried import OURS, carry
from airflow_mlops_provider.extensions import FLAVORS

if TYPE_CHECKING:
    import pandas as pd

MODEL = "model"
CODE, CONDA, PYTHON = "code", "conda.yaml", "python_env.yaml"
#: Enough of MLflow to load, apply and serve a model; its server's and its training's libraries are not needed for that.
_MLFLOW = "mlflow-skinny"


def pack_model(folder: Path, target: Path, flavor: str, model_id: str, run_id: str) -> None:
    """Write a model folder as an MLflow model, so that MLflow's own loaders and servers take it, and give our numbers.

    Done here and not by ``mlflow.lightgbm.log_model`` and its like: those load the model in a child process to guess
    its requirements. Files are copied as they are, so what MLflow holds is byte for byte what was trained.

    :raises UnknownNameError: if there is no such flavor.
    """
    from mlflow.models import Model, infer_signature
    from mlflow.models.utils import _save_example
    from mlflow.pyfunc import add_to_model
    from mlflow.utils.environment import _mlflow_conda_env, _PythonEnv

    elsewhere = _distributions(flavor)
    shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json", ".tmp-*"))
    packed = Model(run_id=run_id, model_uuid=model_id, model_id=model_id, artifact_path=MODEL)
    rows = example(described(folder)["inputs"])
    packed.signature = infer_signature(rows, load(folder).predict(rows))
    _save_example(packed, rows, str(target))
    pinned = requirements([_MLFLOW, "numpy", "pandas", *flavor_of(flavor).needs(folder), *elsewhere])
    (target / "requirements.txt").write_text("\n".join(pinned) + "\n")
    _mlflow_conda_env(str(target / CONDA), additional_pip_deps=pinned, install_mlflow=False)
    _PythonEnv.current().to_yaml(str(target / PYTHON))
    module, code = (loader.__name__, None) if elsewhere else (carry(flavor, target / CODE), CODE)
    add_to_model(packed, module, code=code, conda_env=CONDA, python_env=PYTHON)
    _add_native(packed, flavor)
    packed.save(str(target / "MLmodel"))


def example(inputs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return two rows that a model can be given: made of its categories and of plain numbers, nobody's data."""
    import pandas as pd

    known = {entry["name"]: entry["categories"] or (0.0, 1.0) for entry in inputs}
    types = {entry["name"]: object if is_text(entry) else "float64" for entry in inputs}
    return pd.DataFrame({name: [values[0], values[-1]] for name, values in known.items()}).astype(types)


def requirements(names: Iterable[str]) -> list[str]:
    """Return some distributions, pinned to what is installed here; a build for one kind of machine is not said."""
    known = environment.versions(names)
    return [name if known[name] == "absent" else f"{name}=={known[name].partition('+')[0]}" for name in known]


def _distributions(flavor: str) -> list[str]:
    """Return the distribution that a flavor's code comes in, and ours, which that needs; none for ours alone."""
    tops = {module.partition(".")[0] for module in FLAVORS.modules(flavor)} - {OURS}
    owners = packages_distributions() if tops else {}  # it reads the metadata of all that is installed
    installed = sorted({name for top in tops for name in owners.get(top, ())})
    return [*installed, "airflow-mlops-provider"] if installed else []


def _add_native(packed: Any, flavor: str) -> None:
    """Let MLflow's own loader of a library take a model as well, where it can have the file as it is."""
    versions = environment.versions(["lightgbm", "onnx"])
    if flavor == "lightgbm":  # also what has MLflow's images install the OpenMP runtime
        booster = "lightgbm.basic.Booster"
        packed.add_flavor("lightgbm", lgb_version=versions["lightgbm"], data="model.lgb", model_class=booster)
    elif flavor == "torch":  # the graph takes ``numbers`` and ``codes``, as ``model.json`` describes them
        packed.add_flavor("onnx", onnx_version=versions["onnx"], data="model.onnx", providers=["CPUExecutionProvider"])
