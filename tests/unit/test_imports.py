"""What Airflow imports at parse time stays light: no vendor's library comes with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_mlops_provider

PACKAGE = Path(airflow_mlops_provider.__file__).parent
DAGS = PACKAGE.parent / "dags"
NO_DAG = ("product_errors",)  # it is there for the import error that it may raise
#: Half a second to ten seconds each. ``airflow.sdk`` itself loads none of them.
HEAVY = (
    *("feast", "mlflow", "great_expectations", "evidently", "pandas", "lightgbm", "kubernetes", "openlineage"),
    *("optuna", "onnx", "onnxruntime", "torch", "catboost", "prophet", "skops", "xgboost"),
    *("numpy", "pyarrow", "duckdb", "scipy", "sklearn", "boto3", "fastapi", "uvicorn", "prometheus_client"),
)
#: Its base class is the Kubernetes provider's. Nobody else imports it before a task runs, as the other tests say.
SUBCLASSES = ("places.kubernetes.operator",)
SHELLS = ("operators", "sensors", "triggers", "hooks", "places", "plugins", "pipelines")

IMPORT_ALL = "import importlib; [importlib.import_module(name) for name in {names!r}]"
PARSE = "import sys, runpy; sys.path.insert(0, {folder!r}); runpy.run_path({file!r})"


def loaded(code: str, home: Path) -> set[str]:
    """Run some code in a fresh interpreter and return which heavy libraries it has loaded by its end."""
    tell = f"{code}\nimport sys\nprint('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    env = {**os.environ, "AIRFLOW_HOME": str(home), "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", tell], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stdout.splitlines()[-1].split()[1:])


def modules(folder: str) -> list[str]:
    """Return the names of all modules below a folder of the package."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in (PACKAGE / folder).rglob("*.py"))
    names = (".".join(path.parts).removesuffix(".__init__") for path in paths if path.stem != "__main__")
    return sorted(f"{PACKAGE.name}.{name}" for name in names if name not in SUBCLASSES)


@pytest.mark.parametrize("folder", [folder for folder in SHELLS if modules(folder)])
def test_shells_load_no_vendor(folder: str, tmp_path: Path) -> None:
    """Importing every operator, sensor, trigger, hook, place and pipeline costs no vendor's import."""
    assert loaded(IMPORT_ALL.format(names=modules(folder)), tmp_path) == set()


def test_what_dag_files_import_loads_no_vendor(tmp_path: Path) -> None:
    """The package, its assets, what it tells Airflow, and its exceptions load no vendor."""
    names = [f"{PACKAGE.name}.{path.stem}" for path in PACKAGE.glob("[!_]*.py")]
    assert f"{PACKAGE.name}.assets" in names
    assert loaded(IMPORT_ALL.format(names=[PACKAGE.name, f"{PACKAGE.name}.pipelines", *names]), tmp_path) == set()


@pytest.mark.parametrize("file", sorted(DAGS.glob("*.py")), ids=lambda file: file.stem)
def test_parsing_a_dag_loads_no_vendor(file: Path, tmp_path: Path) -> None:
    """Parsing a reference DAG, products included, loads no vendor; the DAG is then really there."""
    code = PARSE.format(folder=str(DAGS), file=str(file))
    seen = "\nfrom airflow.sdk import DAG\nimport gc\nassert any(isinstance(one, DAG) for one in gc.get_objects())"
    assert loaded(code + seen * (file.stem not in NO_DAG), tmp_path) == set()


def test_the_probe_sees_a_vendor(tmp_path: Path) -> None:
    """The probe these tests rest on notices a library that was loaded."""
    assert "numpy" in loaded("import pandas", tmp_path)
