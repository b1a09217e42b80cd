"""The environments in which MLflow models are applied: one for each list of requirements, made once."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigurationError, JobError

REQUIREMENTS = "requirements.txt"
_PYTHON = "python_env.yaml"


def check_python(model: Path) -> None:
    """Make sure that a model was saved for the Python that runs here. :raises ConfigurationError: if it was not."""
    import yaml

    said = yaml.safe_load((model / _PYTHON).read_text("utf-8")) if (model / _PYTHON).is_file() else {}
    version = str((said or {}).get("python", ""))
    here = platform.python_version()
    if version and version.split(".")[:2] != here.split(".")[:2]:
        raise ConfigurationError(f"{model} was saved for Python {version}, and here is {here}; train it with that")


def python_of(model: Path) -> Path:
    """Return the interpreter of the environment that a model requires; make it if it is not there.

    It lies in the user's cache folder, by the hash of the requirements. It is made beside that and renamed: a kill
    leaves nothing that would be taken for it, and of two that make it at once one comes first.

    :raises JobError: if something can't be installed.
    """
    check_python(model)
    text = (model / REQUIREMENTS).read_bytes()
    about = f"{platform.python_version()} {platform.machine()}".encode()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airflow-mlops" / "environments"
    target = home / hashlib.sha256(about + text).hexdigest()[:32]
    if not target.is_dir():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".new-", ignore_cleanup_errors=True) as folder:
            _make(Path(folder) / "environment", model / REQUIREMENTS)
            if not target.is_dir():
                _move(Path(folder) / "environment", target)
    return target / "bin" / "python"


def _make(folder: Path, requirements: Path) -> None:
    _run("venv", str(folder), python=sys.executable)
    pip = ("pip", "install", "--quiet", "--no-input", "--disable-pip-version-check")
    _run(*pip, "--requirement", str(requirements), python=str(folder / "bin" / "python"))


def _run(module: str, *arguments: str, python: str) -> None:
    done = subprocess.run([python, "-m", module, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise JobError(
            f"the environment of an MLflow model can't be made: {module} ended with {done.returncode}: "
            f"{(done.stderr or done.stdout).strip()[-800:]}"
        )


def _move(folder: Path, target: Path) -> None:
    """Rename a folder; somebody else's that came first is as good."""
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(folder, ignore_errors=True)
