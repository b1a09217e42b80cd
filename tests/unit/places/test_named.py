"""Places by name: what configuration describes, who chooses, a team's own, and what is wrong with one."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.places.base import Place
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.kubernetes.settings import SecretKey
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.places.named import check, choice, chosen, find, team_of, with_orphans

SECRET = {"MLFLOW_TRACKING_TOKEN": {"name": "mlflow", "key": "token"}}
SMALL = {"kind": "kubernetes_pod", "image": "jobs:1", "memory": "2Gi", "secrets": SECRET}
GPU = {"kind": "kubernetes_pod", "image": "cuda:1", "gpus": 1, "node_selector": {"pool": "gpu"}}


class Cluster(LocalProcess):
    """Another's kind of place, with a setting of its own."""

    queue: str


def configure(monkeypatch: pytest.MonkeyPatch, team: str = "", default: str = "", **places: Any) -> None:
    """Describe places by environment variables, for everybody or for a team."""
    prefix = f"AIRFLOW__{team.upper()}___MLOPS__" if team else "AIRFLOW__MLOPS__"
    monkeypatch.setenv(f"{prefix}PLACES", json.dumps(places))
    if default:
        monkeypatch.setenv(f"{prefix}DEFAULT_PLACE", default)


def test_configuration_moves_jobs_into_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same DAG file runs its jobs where configuration says, in a pod as it is described there."""
    assert chosen() == LocalProcess()
    configure(monkeypatch, small=SMALL, default="small")
    key = SecretKey(name="mlflow", key="token")
    assert chosen() == KubernetesPod(image="jobs:1", memory="2Gi", secrets={"MLFLOW_TRACKING_TOKEN": key})


def test_the_nearest_choice_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first name that is one: a template may have rendered to nothing; without any, the default."""
    configure(monkeypatch, small=SMALL, gpu=GPU, here={"kind": "local_process", "env": {"A": "1"}}, default="small")
    assert chosen("gpu", "here") == find("gpu")
    for nothing in (None, "", " ", "None"):
        assert chosen(nothing, "here") == LocalProcess(env={"A": "1"})
        assert chosen(nothing, nothing) == find("small")


def test_a_team_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A team's places and default come first, everybody's are there too, and another team sees none of it."""
    configure(monkeypatch, small=SMALL, gpu=GPU, default="small")
    configure(monkeypatch, team="risk", gpu={**GPU, "namespace": "risk"}, default="gpu")
    assert chosen(team="risk") == KubernetesPod(image="cuda:1", gpus=1, node_selector={"pool": "gpu"}, namespace="risk")
    assert chosen("small", team="risk") == find("small")
    assert chosen(team="sales") == chosen() == find("small")
    assert find("gpu", "sales") == find("gpu") != find("gpu", "risk")


def test_a_team_without_a_default_has_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a team does not say for itself is as everybody's, also where that is an option's own default."""
    configure(monkeypatch, small=SMALL, default="small")
    configure(monkeypatch, team="risk", gpu=GPU)
    assert chosen(team="risk") == find("small")


def test_the_run_says_which_team() -> None:
    """Airflow tells a task its team with the DAG run; an Airflow without teams tells none."""
    context: Any = {"dag_run": SimpleNamespace(team_name="risk")}
    assert team_of(context) == "risk"
    assert team_of({}) is None


def test_a_kind_of_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import path names a kind, which gets its settings by keyword; a name that somebody types is none."""
    path = f"{Cluster.__module__}:Cluster"
    configure(monkeypatch, batch={"kind": path, "queue": "night"})
    place = find("batch")
    assert isinstance(place, Place)
    assert place.queue == "night"  # type: ignore[attr-defined]
    with pytest.raises(UnknownNameError, match="unknown place"):
        find(path)


@pytest.mark.parametrize(
    ("name", "places", "said"),
    [
        ("gpuu", json.dumps({"gpu": GPU}), "unknown place 'gpuu'; known: gpu, kubernetes_pod, local_process"),
        ("kubernetes_pod", "", "place 'kubernetes_pod' can't work as .* describes it: image Field required"),
        (
            "gpu",
            json.dumps({"gpu": {**GPU, "gpu": 1}}),
            "place 'gpu' .*KubernetesPod has no field 'gpu'; known: active",
        ),
        ("here", '{"here": {"kind": "local_process", "envs": {}}}', "LocalProcess has no field 'envs'; known: env"),
        ("gpu", '{"gpu": {"kind": "pod"}}', "unknown kind of place 'pod'; known: kubernetes_pod, local_process"),
        ("gpu", '{"gpu": {"kind": "nowhere_at_all:Pod"}}', "can't be loaded: ModuleNotFoundError"),
        ("gpu", '{"gpu": {"kind": "json:dumps"}}', "'json:dumps' names .* which is no Place"),
        ("gpu", '{"gpu": {"image": "x"}}', "it needs a kind; known: kubernetes_pod, local_process"),
        ("gpu", '{"gpu": "x"}', "is a JSON object such as"),
        ("gpu", "[1]", "is a JSON object such as"),
        ("gpu", "{", "places is no valid JSON"),
    ],
)
def test_what_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, places: str, said: str) -> None:
    """A wrong name, kind or setting is refused, when a DAG is parsed or its task begins, with what there is."""
    monkeypatch.setenv("AIRFLOW__MLOPS__PLACES", places)
    for look in (find, check):
        with pytest.raises((ConfigurationError, UnknownNameError), match=f"(?s){said}"):
            look(name)


def test_a_wrong_default_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default that nobody described is refused where the task begins, by the option."""
    configure(monkeypatch, gpu=GPU, default="gpuu")
    with pytest.raises(UnknownNameError, match=r"unknown place in \[mlops\] default_place 'gpuu'; known: gpu, "):
        chosen()


def test_what_is_known_only_at_run_time_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template, and in an Airflow of teams any name, passes while a DAG is parsed."""
    check("{{ params.place }}")
    with pytest.raises(UnknownNameError):
        check("gpu")
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    check("gpu")


def test_a_person_chooses_among_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form offers the names there are; where Airflow has teams, whose names are not known yet, it takes any."""
    configure(monkeypatch, gpu=GPU)
    assert choice() == {"enum": [None, "gpu", "local_process"]}
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    assert choice() == {"examples": ["gpu", "local_process"]}


def test_values_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message names the field, and not what was given: it may have been put into the wrong one."""
    configure(monkeypatch, gpu={**GPU, "memory": "hunter2 hunter2"})
    with pytest.raises(ConfigurationError, match="memory") as refused:
        find("gpu")
    assert "hunter2" not in str(refused.value)


def test_orphans_are_looked_for_where_pods_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cluster's namespace once; where no pod is described, the connection that an operator's own pod uses."""
    (usual,) = with_orphans()
    assert isinstance(usual, KubernetesPod)
    configure(monkeypatch, small=SMALL, gpu=GPU, far={**GPU, "conn_id": "far"}, here={"kind": "local_process"})
    looked_at = [(place.conn_id, place.namespace) for place in with_orphans() if isinstance(place, KubernetesPod)]
    assert looked_at == [("kubernetes_default", None), ("far", None)]
    assert len(with_orphans()) == 2
