"""The place that configuration names, and what is wrong with one that cannot work."""

from __future__ import annotations

import json

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.places.default import default_place
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.kubernetes.settings import SecretKey
from airflow_mlops_provider.places.local_process import LocalProcess


def test_configuration_moves_jobs_into_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same DAG file runs its jobs where configuration says, in a pod as it is described there."""
    assert isinstance(default_place(), LocalProcess)
    fields = {
        "image": "jobs:1",
        "memory": "4Gi",
        "secrets": {"MLFLOW_TRACKING_TOKEN": {"name": "mlflow", "key": "token"}},
    }
    monkeypatch.setenv("AIRFLOW__MLOPS__DEFAULT_PLACE", "kubernetes_pod")
    monkeypatch.setenv("AIRFLOW__MLOPS__KUBERNETES_POD", json.dumps(fields))
    key = SecretKey(name="mlflow", key="token")
    assert default_place() == KubernetesPod(image="jobs:1", memory="4Gi", secrets={"MLFLOW_TRACKING_TOKEN": key})


@pytest.mark.parametrize(
    ("place", "pod", "said"),
    [
        (
            "kubernetes_pod",
            '{"image": "x", "gpu": 1}',
            "kubernetes_pod: .*no field 'gpu'; known: active_deadline_seconds",
        ),
        ("kubernetes_pod", "", "image"),
        ("kubernetes_pod", "{", "Invalid JSON"),
        ("pod", "", "unknown place in .* 'pod'; known: kubernetes_pod, local_process"),
    ],
)
def test_a_wrong_default_is_refused(monkeypatch: pytest.MonkeyPatch, place: str, pod: str, said: str) -> None:
    """A place that cannot work is refused where the task begins, by the option and the field."""
    monkeypatch.setenv("AIRFLOW__MLOPS__DEFAULT_PLACE", place)
    monkeypatch.setenv("AIRFLOW__MLOPS__KUBERNETES_POD", pod)
    with pytest.raises((ConfigurationError, UnknownNameError), match=f"(?s){said}"):
        default_place()
