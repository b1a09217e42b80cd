"""A task asks Airflow for what its job uses, and for each connection once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_mlops_provider.hooks.base import looked_up_once
from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.runtime.code import closure
from airflow_mlops_provider.runtime.definition import all_jobs

#: What of ours speaks to an open service.
CLIENTS = {
    "mlflow": "airflow_mlops_provider.backends.tracking.mlflow.server",
    "feast": "airflow_mlops_provider.backends.feature_store",
    "model_server": "airflow_mlops_provider.backends.model_server.base",
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The connections that Airflow is asked for, in their order; MLflow's alone is defined."""
    names: list[str] = []
    conn = {"conn_type": "mlflow", "host": "http://mlflow", "login": "ada", "password": "secret"}
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_MLFLOW", json.dumps(conn))
    get = BaseHook.get_connection

    def get_connection(conn_id: str) -> Connection:
        names.append(conn_id)
        return get(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(get_connection))
    return names


def test_a_job_is_told_of_what_it_uses(asked: list[str]) -> None:
    """Of nothing else it gets the address or the password, and nobody asks for the connection."""
    addresses, _, secrets = services("flights", uses=())
    assert (addresses.mlflow, addresses.online_store, addresses.model_server, secrets) == ("", {}, None, {})
    assert not [name for name in asked if "mlflow" in name or "feast" in name or "server" in name]
    addresses, _, secrets = services("flights", uses=("mlflow",))
    assert (addresses.mlflow, secrets["MLFLOW_TRACKING_PASSWORD"]) == ("http://mlflow", "secret")


def test_what_a_job_does_not_use_it_can_not_reach() -> None:
    """No job that is told of no service imports what speaks to it."""
    reached = {job.name: closure(job.function.__module__) for job in all_jobs().values()}
    told = {(job.name, service) for job in all_jobs().values() for service in job.uses}
    imports = {
        (name, service) for name, modules in reached.items() for service in CLIENTS if CLIENTS[service] in modules
    }
    assert imports - told == set()
    assert {"validate", "evaluate", "drift"} & {name for name, _ in told} == set()


def test_each_connection_is_asked_for_once(asked: list[str]) -> None:
    """While a task works, also for one that is not defined; afterwards nothing is kept."""
    with looked_up_once():
        for _ in range(3):
            services("flights")
        assert len(asked) == len({*asked}) > 5
        with pytest.raises(AirflowNotFoundException, match="mlops_other"):
            _ = MlflowHook("mlops_other").connection
    asked.clear()
    assert MlflowHook.named(None, "flights").url == "http://mlflow"
    assert asked == ["mlops_mlflow_flights", "mlops_mlflow"]


def test_an_airflow_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a look-up failed does not mean that there is no such connection."""

    def fails(conn_id: str) -> Connection:
        raise RuntimeError(f"no answer about {conn_id}")

    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(fails))
    with looked_up_once():
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no answer"):
                _ = MlflowHook().connection
