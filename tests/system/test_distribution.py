"""The wheel holds what it must: installed elsewhere, Airflow knows the provider and the reference DAGs parse."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
CONNECTION_TYPES = {"mlops_artifact_store", "feast", "mlflow", "mlops_model_server", "prometheus"}

pytest.importorskip("build", reason="building needs the dev extra: pip install -e '.[dev]'")
pytest.importorskip("hatchling", reason="building needs the dev extra: pip install -e '.[dev]'")

Run = Callable[..., str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that ``make dist`` builds."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out), str(CHECKOUT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a command in an environment where only the wheel provides the package.

    Its dependencies come from this environment: the provider's own editable installation is hidden by the wheel, which
    stands earlier on the path.
    """
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "venv", with_pip=True)
    python = home / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    site = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    names = ("PATH", "HOME", "LANG", "TMPDIR")
    env = {name: os.environ[name] for name in names if name in os.environ}
    env |= {"AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONWARNINGS": "ignore"}

    def run(*arguments: str) -> str:
        done = subprocess.run([str(python), *arguments], env=env, cwd=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
        return done.stdout

    return run


@pytest.mark.system
def test_the_package_comes_from_the_wheel(installed: Run) -> None:
    """What follows is about the wheel: nothing of the checkout is imported."""
    found = installed(
        "-c", "import airflow_mlops_provider, sys; print(airflow_mlops_provider.__file__, *sys.path, sep='\\n')"
    )
    assert str(CHECKOUT / "airflow_mlops_provider") not in found.splitlines()[0]
    assert "installed" in found.splitlines()[0]
    assert str(CHECKOUT / "dags") not in found.splitlines()


@pytest.mark.system
def test_airflow_knows_provider_and_connection_types(installed: Run) -> None:
    """Airflow discovers the provider by its entry point, with every connection type and its hook."""
    assert "airflow-mlops-provider" in installed("-m", "airflow", "providers", "get", "airflow-mlops-provider")
    hooks = installed("-m", "airflow", "providers", "hooks", "--output", "plain")
    ours = {line.split()[0] for line in hooks.splitlines() if "airflow_mlops_provider.hooks" in line}
    assert ours >= CONNECTION_TYPES


@pytest.mark.system
def test_the_wheel_carries_the_reference_dags(installed: Run) -> None:
    """The DAG files and the reference product travel in the package, and parse from there."""
    parse = """
from pathlib import Path
import airflow_mlops_provider
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(str(Path(airflow_mlops_provider.__file__).parent / "reference_dags"))
import flight_delay
print("DAGS", *sorted(bag.dags), "ERRORS", *bag.import_errors.values(), "FROM", flight_delay.__file__)
"""
    found = installed("-c", parse).splitlines()[-1]
    assert "ERRORS FROM" in found, found
    pipelines = ("feature_engineering", "training", "deployment", "batch_inference", "monitoring")
    assert all(f"flight_delay_{pipeline}" in found for pipeline in pipelines)
    assert f" {CHECKOUT}/" not in found  # what is looked for stands after a blank


@pytest.mark.system
def test_the_command_line_finds_them(installed: Run) -> None:
    """``airflow mlops products`` lists the reference product outside any checkout."""
    assert "flight_delay" in installed("-m", "airflow", "mlops", "products")
