"""What removes orphans asks the place, and tells it what Airflow knows of a task instance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Param
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Shape, View
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.maintenance import EntitiesForgetOperator, PlaceRemoveOrphansOperator
from airflow_mlops_provider.places.base import GONE, StateOf
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.erasures import Erasures

RUN = RunIdentity(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
MAPPED = RUN.model_copy(update={"map_index": 1})
DELETED = RUN.model_copy(update={"run_id": "deleted"})
STATES: dict[str, dict[str, str | None]] = {"r": {"t": None, "t_1": "failed"}}
SHAPE = Shape(
    name="shop",
    problem="binary_classification",
    views=(View(name="habits", keys=("customer",), features={"mean": "float64"}),),
    request={"customer": "string"},
    label=LabelColumns(column="much", known_at="end"),
)
CONTEXT: Any = {"ti": SimpleNamespace(get_task_states=lambda **_: STATES)}


class Cellar(LocalProcess):
    """A place with something left in it."""

    def remove_orphans(self, state_of: StateOf, log: Any, keep_hours: float) -> list[str]:
        if keep_hours < 0:
            raise ConfigurationError("no right to remove anything")
        return [f"{state_of(run)} after {keep_hours:g} h" for run in (RUN, MAPPED, DELETED)]


def test_the_place_is_told_what_airflow_knows() -> None:
    """No state yet, a mapped task's own state, and gone where Airflow knows no such run; the names are handed on."""
    removed = PlaceRemoveOrphansOperator(task_id="any", place=Cellar(), keep_hours=5).execute(CONTEXT)
    assert removed == ["None after 5 h", "failed after 5 h", f"{GONE} after 5 h"]


def test_every_place_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the configuration; one that can't know what is ours hides none, nor does one that fails."""
    kind = f"{__name__}:Cellar"
    places = {
        "here": {"kind": "local_process"},
        "pod": {"kind": "kubernetes_pod", "image": "x"},
        "cellar": {"kind": kind},
    }
    monkeypatch.setenv("AIRFLOW__MLOPS__PLACES", json.dumps(places))
    assert len(PlaceRemoveOrphansOperator(task_id="any").execute(CONTEXT)) == 3
    assert len(PlaceRemoveOrphansOperator(task_id="any", place="cellar").execute(CONTEXT)) == 3
    with pytest.raises(AirflowFailException, match="ConfigurationError: no right"):
        PlaceRemoveOrphansOperator(task_id="any", keep_hours=-1).execute(CONTEXT)
    monkeypatch.delenv("AIRFLOW__MLOPS__PLACES")
    with pytest.raises(AirflowSkipException, match=r"\[mlops\] installation is not set"):
        PlaceRemoveOrphansOperator(task_id="any").execute(CONTEXT)


def test_a_cluster_of_which_no_pod_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is reached by a connection of one's own, a template; a pod that is described, or given, has its own."""
    operator = PlaceRemoveOrphansOperator(task_id="any", conn_id="{{ 'gpu' }}_cluster")
    operator.render_template_fields({}, operator.get_template_env())
    assert [place.conn_id for place in operator.places(CONTEXT) if isinstance(place, KubernetesPod)] == ["gpu_cluster"]
    usual = PlaceRemoveOrphansOperator(task_id="any").places(CONTEXT)
    assert [place.conn_id for place in usual if isinstance(place, KubernetesPod)] == ["kubernetes_default"]
    places = {"pod": {"kind": "kubernetes_pod", "image": "x", "conn_id": "its_own"}}
    monkeypatch.setenv("AIRFLOW__MLOPS__PLACES", json.dumps(places))
    assert [place.conn_id for place in operator.places(CONTEXT) if isinstance(place, KubernetesPod)] == ["its_own"]
    with pytest.raises(ConfigurationError, match="has a connection of its own; give that or conn_id="):
        PlaceRemoveOrphansOperator(task_id="any", place=KubernetesPod(image="x"), conn_id="gpu_cluster")


def test_what_no_retry_helps_fails_at_once() -> None:
    """A place that may not remove anything fails the task, and no retry follows."""
    with pytest.raises(AirflowFailException, match="ConfigurationError: no right"):
        PlaceRemoveOrphansOperator(task_id="any", place=Cellar(), keep_hours=-1).execute(CONTEXT)


def test_a_local_process_leaves_none() -> None:
    """Its job ends with its task, so there is nothing to remove and nothing to skip."""
    assert PlaceRemoveOrphansOperator(task_id="any", place=LocalProcess()).execute(CONTEXT) == []


def test_pods_of_no_named_airflow_are_left_alone() -> None:
    """A pod's place that does not know which pods are this Airflow's skips the task, and says what to set."""
    with pytest.raises(AirflowSkipException, match=r"\[mlops\] installation is not set"):
        PlaceRemoveOrphansOperator(task_id="any", place=KubernetesPod(image="x")).execute(CONTEXT)


@pytest.fixture
def forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Says whose rows a task takes out, by the requests that it keeps; in a DAG with a form, or without."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path))
    monkeypatch.setattr(JobOperator, "execute", lambda *_: {})

    def forgets(conf: list[str] | None, form: dict[str, Any] | None = None, **given: Any) -> list[str]:
        with DAG("leavers", schedule=None, params=form):
            task = EntitiesForgetOperator(task_id="forget", product="shop", shape=SHAPE, **given)
        ti = SimpleNamespace(dag_id="leavers", run_id="r", task_id="forget", map_index=-1, try_number=1)
        task.execute({"ti": ti, "params": {"entities": conf}})  # type: ignore[arg-type, typeddict-item]
        return sorted(
            column for request in Erasures(open_store(str(tmp_path)), "shop").all() for column in request.columns
        )

    return forgets


def test_a_form_names_whom_to_forget(forgets: Callable[..., list[str]]) -> None:
    """As does the task itself, whatever the form says."""
    assert forgets(["customer=7"], {"entities": Param([], type="array")}) == ["customer"]
    assert forgets(["order=7"], {"entities": Param([], type="array")}, entities="line=2") == ["customer", "line"]


@pytest.mark.parametrize("given", [{}, {"entities": ()}], ids=["no form", "none is wanted"])
def test_what_a_run_brings_unasked_erases_nothing(forgets: Callable[..., list[str]], given: dict[str, Any]) -> None:
    """Whoever may start a run of maintenance may not erase data by what he writes beside it."""
    with pytest.raises(AirflowSkipException, match="no request is due"):
        forgets(["customer=7"], {"entities": Param([], type="array")} if given else None, **given)


def test_what_names_nobody_fails_for_good(forgets: Callable[..., list[str]]) -> None:
    """No retry makes a name of it."""
    with pytest.raises(AirflowFailException, match="names no entity"):
        forgets(None, entities=["4711"])
