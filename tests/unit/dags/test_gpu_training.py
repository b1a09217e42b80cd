"""The example of a training alone on a GPU: skipped where there is none, else the product's own network."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops_provider.exceptions import ConfigurationError

FILE = Path(__file__).parents[3] / "dags" / "gpu_training.py"
RUN = SimpleNamespace(team_name=None)


@pytest.fixture
def example() -> dict[str, Any]:
    """What the file defines."""
    return runpy.run_path(str(FILE))


def test_without_a_gpu_it_is_skipped(example: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing configured it is there, runs by hand only, and a run is skipped with what to configure."""
    look = example["find_place"].function
    dag = example["plan"].dag
    assert (dag.dag_id, dag.schedule) == ("flight_delay_gpu_training", None)
    with pytest.raises(AirflowSkipException, match=r"unknown place 'gpu'; known: .*\[mlops\] places"):
        look({"place": "gpu"}, RUN)
    monkeypatch.setenv("AIRFLOW__MLOPS__PLACES", json.dumps({"gpu": {"kind": "kubernetes_pod"}}))
    with pytest.raises(ConfigurationError, match=r"place 'gpu' .*image"):
        look({"place": "gpu"}, RUN)
    monkeypatch.setenv("AIRFLOW__MLOPS__PLACES", json.dumps({"gpu": {"kind": "kubernetes_pod", "image": "x"}}))
    look({"place": "gpu"}, RUN)


def test_the_network_trains_where_the_form_says(example: dict[str, Any]) -> None:
    """The product's PyTorch trainer, at the place of the form, which is ``gpu`` if nobody changes it."""
    task = example["plan"].dag.get_task("training.train")
    assert (task.trainer.code, task.place) == ("flight_delay.torch_trainer:train", "{{ params.place }}")
    assert task.dag.params["place"] == "gpu"
