"""What tests of MLflow's commands share: a registry behind a server, and an environment for each requirements."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.factories.mlflow import mlflow_server


@pytest.fixture(scope="session")
def mlflow_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of an MLflow server."""
    with mlflow_server(tmp_path_factory.mktemp("registry")) as uri:
        yield uri


@pytest.fixture(scope="session")
def environment_of() -> Iterator[Callable[[str], Path]]:
    """Gives the folder of an environment in which pip has installed the lines of a requirements file, nothing else."""
    with TemporaryDirectory(prefix="mlops-environments-") as kept:  # some hundred megabytes each

        @cache
        def make(requirements: str) -> Path:
            folder = Path(kept) / str(len([*Path(kept).iterdir()]))
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            (folder / "requirements.txt").write_text(requirements)
            # -I: what a PYTHONPATH leads to would count as installed.
            install = ("-I", "-m", "pip", "install", "--quiet", "-r", folder / "requirements.txt")
            subprocess.run([folder / "bin" / "python", *install], check=True)
            return folder

        yield make
