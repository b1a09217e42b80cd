"""Model versions in a real MLflow, made and moved by plain MLflow code."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from airflow_mlops_provider.backends.tracking.mlflow.server import MlflowServer
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.sensors.registry import MlflowModelVersionSensor
from airflow_mlops_provider.triggers.registry import MlflowModelVersionTrigger
from tests.factories.waiting import context, fired, waits


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's, in which model ``eta`` has version 1."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    client = MlflowServer(f"sqlite:///{file}").client
    client.create_registered_model("eta")
    client.create_model_version("eta", "s3://somewhere/1")
    return file


@pytest.fixture
def client(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of a team's MLflow, which has a copy of that."""
    shutil.copy(database, tmp_path)
    monkeypatch.setenv("AIRFLOW__MLOPS__MLFLOW_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return MlflowHook().get_conn()


def sensor(**settings: Any) -> MlflowModelVersionSensor:
    """Return a sensor that waits for model ``eta``."""
    return MlflowModelVersionSensor(task_id="wait", name="eta", poke_interval=0, **{"deferrable": True, **settings})


def test_an_alias_that_moves(client: Any) -> None:
    """Whoever moves it, deferred or in the worker; a move while it waits is handed on with the version."""
    client.set_registered_model_alias("eta", "champion", "1")
    trigger = waits(sensor(alias="champion"), context())
    assert trigger.since == "1"
    client.create_model_version("eta", "s3://somewhere/2")
    assert not sensor(alias="champion", since=1, deferrable=False).poke(context())
    moved = {"name": "eta", "version": 2, "run_id": None, "alias": "champion"}
    move = lambda: client.set_registered_model_alias("eta", "champion", "2")  # noqa: E731
    assert fired(trigger, move, lambda: None) == [{"state": "2", **moved}]
    assert sensor(alias="champion", since=1, deferrable=False).execute(context()) == moved


def test_an_alias_that_does_not_exist_yet(client: Any) -> None:
    """It is waited for, and so is a model that nobody has registered."""
    assert waits(sensor(alias="champion"), context()).since == ""
    other = MlflowModelVersionTrigger(name="nobody's", alias="champion", since="")
    assert fired(other, lambda: client.create_registered_model("nobody's")) == []


def test_a_version(client: Any) -> None:
    """A certain one may be there already; without a number a newer one than at the start is waited for."""
    assert sensor(version="1").execute(context()) == {"name": "eta", "version": 1, "run_id": None}
    trigger = waits(sensor(version=2), context())
    newer = waits(sensor(), context())
    events = fired(trigger, lambda: client.create_model_version("eta", "s3://somewhere/2"), lambda: None)
    assert [event["version"] for event in events] == [2]
    assert [event["version"] for event in fired(newer)] == [2]
    assert sensor(since=0).execute(context())["version"] == 2


def test_a_watcher_sees_each_move_once(client: Any) -> None:
    """Its first look is the baseline."""
    client.set_registered_model_alias("eta", "champion", "1")
    client.create_model_version("eta", "s3://somewhere/2")
    watcher = MlflowModelVersionTrigger(name="eta", alias="champion")
    moves = [
        lambda: None,
        lambda: client.set_registered_model_alias("eta", "champion", "2"),
        lambda: client.delete_registered_model_alias("eta", "champion"),
        lambda: client.set_registered_model_alias("eta", "champion", "1"),
        lambda: None,
    ]
    assert [event["version"] for event in fired(watcher, *moves)] == [2, 1]


def test_what_cannot_be_meant_is_refused() -> None:
    """By name, before anything is looked for."""
    with pytest.raises(ConfigurationError, match="not both"):
        MlflowModelVersionTrigger(name="eta", alias="champion", version=1)
    with pytest.raises(ConfigurationError, match="name is ''"):
        MlflowModelVersionTrigger(name="")
    with pytest.raises(ConfigurationError, match="quote"):
        MlflowModelVersionTrigger(name="x' OR '1'='1", conn_id=None, since="").look()


class Registry(http.server.BaseHTTPRequestHandler):
    """Answers as MLflow's registry does, and keeps who asks."""

    users: ClassVar[list[str | None]] = []

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.users.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        version = {"name": "eta", "version": "3", "status": "READY"}
        model = {"name": "eta", "aliases": [{"alias": "champion", "version": "3"}]}
        is_model = "registered-models/get" in self.path
        self.wfile.write(json.dumps({"registered_model": model} if is_model else {"model_version": version}).encode())

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[int]:
    """The port of that registry."""
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    Registry.users.clear()
    yield running.server_port
    running.shutdown()
    running.server_close()


def test_each_connection_has_its_own_credentials(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several in one process, as in a triggerer; the environment's are used where no connection is defined alone."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of-somebody-else")
    address = {"conn_type": "mlflow", "host": "127.0.0.1", "port": server}
    monkeypatch.setenv("AIRFLOW_CONN_ML_ANN", json.dumps({**address, "login": "ann", "password": "sesame"}))
    monkeypatch.setenv("AIRFLOW_CONN_ML_TOKEN", json.dumps({**address, "password": "token"}))
    monkeypatch.setenv("AIRFLOW_CONN_ML_OPEN", json.dumps(address))
    monkeypatch.setenv("AIRFLOW__MLOPS__MLFLOW_URI", f"http://127.0.0.1:{server}")
    for conn_id in ("ml_ann", "ml_token", "ml_open", None):
        seen = MlflowModelVersionTrigger(name="eta", alias="champion", conn_id=conn_id, since="").look()
        assert seen.facts["version"] == 3
    assert Registry.users[::2] == ["Basic YW5uOnNlc2FtZQ==", "Bearer token", None, "Bearer of-somebody-else"]
