"""``airflow mlops``: registered with Airflow, and plain with whoever mistypes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def mlops(tmp_path: Path):
    """Return a function that runs ``airflow mlops …`` in a home of its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "COLUMNS": "200", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "airflow", "mlops", *arguments]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def plainly(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line with which a command refused."""
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_help_names_every_command(mlops) -> None:
    """Airflow's own command line knows the provider's commands."""
    done = mlops("--help")
    assert done.returncode == 0, done.stderr
    for command in ("products", "versions", "lineage", "reproduce", "feedback", "demo", "up", "down"):
        assert f"    {command}" in done.stdout


def test_products_are_listed(mlops) -> None:
    """The reference bundle is found without naming it, as a table and as JSON that a script can read."""
    table, listed = mlops("products"), mlops("products", "--json")
    assert "flight_delay" in table.stdout
    assert "Will this flight arrive" in table.stdout
    assert [product["name"] for product in json.loads(listed.stdout)] == ["flight_delay"]


def test_a_folder_that_is_not_there_is_refused_in_one_line(mlops, tmp_path: Path) -> None:
    """A mistyped folder is named, and not taken for a folder without products."""
    assert "nowhere" in plainly(mlops("products", "--dags", str(tmp_path / "nowhere")))


def test_an_unknown_product_is_refused_in_one_line(mlops) -> None:
    """A mistyped product is named with those that there are, and not taken for one without versions."""
    line = plainly(mlops("versions", "flight_dely"))
    assert "flight_dely" in line
    assert "flight_delay" in line


def test_an_unknown_command_names_the_known_ones(mlops) -> None:
    """A mistyped command ends with exit status 2 and the commands to choose from, without a traceback."""
    done = mlops("demmo")
    assert done.returncode == 2
    assert "demo" in done.stderr
    assert "Traceback" not in done.stderr
