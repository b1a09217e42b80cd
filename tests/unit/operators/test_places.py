"""Where an operator's job runs: a place of its own, a name, the product's section, the default; in this order."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.operators.experimentation import ExperimentRunTrialOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator
from airflow_mlops_provider.places.base import Place
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.local_process import LocalProcess
from flight_delay.product import product
from tests.factories.declared import changed

PLACED = changed(product, {"training.place": "gpu"})


def pod(image: str) -> dict[str, str]:
    """Return a pod as configuration describes it."""
    return {"kind": "kubernetes_pod", "image": image}


@pytest.fixture(autouse=True)
def _places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three places, one of them the default; a team has a GPU of its own."""
    places = {"small": pod("small"), "gpu": pod("gpu"), "big": pod("big")}
    monkeypatch.setenv("AIRFLOW__MLOPS__PLACES", json.dumps(places))
    monkeypatch.setenv("AIRFLOW__MLOPS__DEFAULT_PLACE", "small")
    monkeypatch.setenv("AIRFLOW__RISK___MLOPS__PLACES", json.dumps({"gpu": pod("risk")}))


def place(declared: MLProduct, given: Any = None, team: str | None = None, stage: Stage = Stage.TRAINING) -> Any:
    """Return where a training runs whose form says ``big``."""
    context: Any = {"params": {"place": "big"}, "dag_run": SimpleNamespace(team_name=team)}
    with DAG("any", schedule=None):
        task = ModelTrainOperator(task_id="train", product=declared, training_set={}, place=given)
    found = task.place_of(stage, context)
    return found.image if isinstance(found, KubernetesPod) else found


def test_the_nearest_choice_counts() -> None:
    """Operator before section before default; a form's choice is the operator's, which may be nothing."""
    own: Place = LocalProcess(env={"A": "1"})
    assert place(PLACED, own) is own
    assert place(PLACED, "big") == "big"
    assert place(PLACED, "{{ params.place }}") == "big"
    assert place(PLACED, "{{ params.place if false else none }}") == "gpu"
    assert place(PLACED) == "gpu"
    assert place(PLACED, stage=Stage.REGISTRY) == "small"
    assert place(product) == "small"


def test_a_mapped_job_goes_where_its_section_or_form_says() -> None:
    """Trials are mapped tasks: each runs at the search's place, or at the one of the form."""
    searched, context = changed(product, {"search.place": "gpu"}), {"params": {"place": "big"}}
    for given, image in ((None, "gpu"), ("{{ params.place }}", "big")):
        with DAG("any", schedule=None):
            partial = ExperimentRunTrialOperator.partial(task_id="trial", product=searched, split={}, place=given)
            task: Any = partial.expand(slot=[0]).unmap({"slot": 0})
        assert task.place_of(Stage.EXPERIMENTATION, context).image == image


def test_a_team_has_a_place_of_its_own() -> None:
    """The same product trains at the team's place of that name where the team's run trains it."""
    assert place(PLACED, team="risk") == "risk"
    assert place(PLACED, team="sales") == "gpu"


def test_a_wrong_name_is_refused_where_the_dag_is_parsed() -> None:
    """The operator that names it can't be made; one that a template renders to is refused as the task begins."""
    with pytest.raises(UnknownNameError, match="unknown place 'gpuu'; known: big, gpu, kubernetes_pod, local_process"):
        ModelTrainOperator(task_id="train", product=product, training_set={}, place="gpuu")
    with pytest.raises(UnknownNameError, match="unknown place 'bigu'"):
        place(product, "{{ params.place }}u")
