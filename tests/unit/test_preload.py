"""What components load before they fork, and that a task's own process and a wrong setting load nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.preload import Preload

ROOT = Path(__file__).parents[2]
# As a scheduler begins: its Job tells the listeners; then it forks, and the child parses a DAG file.
_BEGINS = """
import runpy, sys
from airflow.listeners.listener import get_listener_manager

class Job: ...
class TaskRunnerMarker: ...

get_listener_manager().hook.on_starting(component={component}())
before = {{*sys.modules}}
print("airflow_mlops_provider.operators.base" in before, "airflow_mlops_provider.jobs.training.train" in before)
sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[1] + "/training.py")
print(len([name for name in {{*sys.modules}} - before if name.startswith("airflow_mlops_provider.")]))
print(*(vendor for vendor in ("mlflow", "feast", "evidently", "great_expectations", "kubernetes") if vendor in before))
"""


def begun(component: str, preload: str, home: Path) -> list[str]:
    """Return what a process says of itself that begins as some component."""
    settings = {"AIRFLOW_HOME": str(home), "AIRFLOW__MLOPS__PRELOAD": preload, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [sys.executable, "-c", _BEGINS.format(component=component), str(ROOT / "dags")]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-3:]


@pytest.mark.parametrize(
    ("component", "preload", "loaded"),
    [
        ("Job", "operators", "True False"),
        ("Job", "jobs", "True True"),
        ("Job", "nothing", "False False"),
        ("TaskRunnerMarker", "jobs", "False False"),
    ],
)
def test_what_is_forked_has_it_loaded(component: str, preload: str, loaded: str, tmp_path: Path) -> None:
    """A parse then imports nothing of ours; no vendor's library is loaded for it."""
    said, left, vendors = begun(component, preload, tmp_path)
    assert (said, vendors) == (loaded, "")
    assert (int(left) == 0) == loaded.startswith("True")


def test_another_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled setting is named, with what is allowed."""
    monkeypatch.setenv("AIRFLOW__MLOPS__PRELOAD", "everything")
    with pytest.raises(ConfigurationError, match="preload is 'everything'; allowed: nothing, operators, jobs"):
        Preload().on_starting(type("Job", (), {})())
