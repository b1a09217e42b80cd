"""The Dockerfile, as far as it can be held to something without building it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[2]
DOCKERFILE = CHECKOUT / "docker" / "Dockerfile"


def test_hadolint_finds_nothing() -> None:
    """No finding of hadolint's, not even a remark; what is waived is waived in its place."""
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint comes with the dev extra: pip install -e '.[dev]'")
    done = subprocess.run([hadolint, "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_context_holds_what_the_wheel_is_made_of() -> None:
    """Whatever the wheel's recipe and the Dockerfile take from the checkout is let in by the ignore file."""
    let_in = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"}
    recipe = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    wheel = recipe["tool"]["hatch"]["build"]["targets"]["wheel"]
    taken = {*wheel["packages"], *wheel["force-include"], *recipe["project"]["license-files"], "pyproject.toml"}
    taken |= {recipe["project"]["readme"], "plugins"}  # the package's link leads there
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    taken |= {path for line in copied for path in line.split() if path != "."}
    assert len(copied) > 1
    assert [
        path for path in sorted(taken) if not any(path == one or path.startswith(f"{one}/") for one in let_in)
    ] == []
    assert all((CHECKOUT / path).exists() for path in taken | let_in)


def test_no_secret_is_asked_for_as_an_argument() -> None:
    """Build arguments and environment stay in the image's history: none is named like a secret."""
    names = re.findall(r"^(?:ARG|ENV|    )\s*([A-Z_]+)=", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    assert {"BASE", "COMMIT", "AIRFLOW_HOME"} <= set(names)
    assert [name for name in names if re.search("TOKEN|PASSWORD|SECRET|KEY|CREDENTIAL|INDEX", name)] == []


def test_requirements_are_the_declared_ones() -> None:
    """What is installed before the wheel is what the wheel will ask for, and what the builder adds."""
    script, recipe = CHECKOUT / "docker" / "requirements.py", CHECKOUT / "pyproject.toml"
    lines = subprocess.check_output([sys.executable, str(script), str(recipe), "redis psycopg2-binary>=2.9"], text=True)
    declared = tomllib.loads(recipe.read_text("utf-8"))["project"]["dependencies"]
    assert [str(Requirement(line)) for line in lines.splitlines()] == [
        str(Requirement(line)) for line in (*declared, "redis", "psycopg2-binary>=2.9")
    ]
