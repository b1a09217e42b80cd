"""The check that every DAG ends well: what it lets pass, and how it names what it does not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from airflow_mlops_provider.demo.local_airflow.api import AirflowApi
from airflow_mlops_provider.exceptions import BackendError

SCRIPT = Path(__file__).parents[2] / ".ci" / "every_dag.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module; it waits for nobody."""
    spec = importlib.util.spec_from_file_location("every_dag", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SECONDS", 0.1)
    return module


class Api(AirflowApi):
    """An Airflow of a few DAGs, whose tasks are in the states given."""

    def __init__(self, **tasks: dict[str, str]) -> None:
        self.known = tasks

    def call(self, method: str, path: str, *, params: Any = None, body: Any = None) -> Any:
        """Answer as the REST API would."""
        if path == "dags":
            return {"dags": [{"dag_id": name} for name in self.known]}
        dag_id = path.split("/")[1]
        if dag_id == "~":
            return {"dag_runs": []}
        if path.endswith("/taskInstances"):
            return {"task_instances": [{"task_id": name, "state": state} for name, state in self.known[dag_id].items()]}
        states = set(self.known[dag_id].values())
        state = "failed" if "failed" in states else "running" if states & {"running", "queued"} else "success"
        return {"dag_id": dag_id, "dag_run_id": "one", "state": state}


def ran(script: ModuleType, monkeypatch: pytest.MonkeyPatch, **tasks: dict[str, str]) -> None:
    """Run the script on such an Airflow."""
    monkeypatch.setattr(script, "AirflowApi", lambda url, home: Api(**tasks))
    monkeypatch.syspath_prepend("anywhere")  # taken back, with what the script puts on the path
    script.main()


def test_all_green_is_said(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each DAG is listed with its state and its tasks; a skip that its DAG explains is none to complain of."""
    green = {"features.plan": "success", "evaluation.retune": "skipped"}
    ran(script, monkeypatch, flight_delay_training=green, mlops_maintenance={"remove_orphans": "skipped"})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [
        ["flight_delay_training", "success"],
        ["mlops_maintenance", "success"],
    ]
    assert lines[-1] == "all 2 DAGs ended well"


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ({"a": "failed", "b": "upstream_failed"}, "flight_delay_training: failed: a failed, b upstream_failed"),
        ({"features.plan": "skipped"}, "flight_delay_training: skipped without leave: features.plan"),
        ({"a": "success", "b": "queued"}, "flight_delay_training: running after 0.1 s, waiting for b"),
    ],
)
def test_what_does_not_end_well_is_named(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tasks: dict[str, str], said: str
) -> None:
    """A failed task, a skip that nothing explains, and one that never ends: DAG and task are in the last words."""
    with pytest.raises(SystemExit) as ended:
        ran(script, monkeypatch, flight_delay_training=tasks, flight_delay_deployment={"deployment.deploy": "success"})
    assert str(ended.value).splitlines() == ["not every DAG ended well:", said]
    assert BackendError.__name__ not in str(ended.value)
