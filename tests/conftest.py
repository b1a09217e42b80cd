"""Fixtures for every test: an Airflow home of their own, no telemetry, and real local Airflows on request."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends.telemetry import disable_telemetry

# Before any test module is imported: Airflow reads its home once, at import, and would else write into the user's.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-mlops-tests-")
for _name in [
    name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_", "AIRFLOW_MLOPS"))
]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}
disable_telemetry()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let several workers begin with the files that start whole Airflows: these wait a lot, and would come last."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: "tests/system/" not in item.nodeid)


_LOCAL = ("::1", "localhost")


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test talk to another machine: what it needs from elsewhere, its users would need too."""
    if request.node.get_closest_marker("cluster"):
        return
    connect = socket.socket.connect

    def only_local(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not (
            address[0] in _LOCAL or address[0].startswith("127.")
        ):
            raise OSError(f"a test tried to reach {address[0]}:{address[1]}; only this machine is allowed")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_local)


@pytest.fixture(autouse=True, scope="session")
def _one_mlflow_made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let each MLflow database that a test needs be a copy of one: MLflow takes seconds to make its tables."""
    from airflow_mlops_provider.backends.tracking.mlflow.server import MlflowServer

    made, template = MlflowServer._make, tmp_path_factory.mktemp("mlflow") / "mlflow.db"

    def copied(server: MlflowServer, database: Path) -> None:
        if not template.exists():
            made(MlflowServer(f"sqlite:///{template}"), template)
        fresh = database.with_name(f"{database.name}.new")
        for left in database.parent.glob(f"{fresh.name}*"):
            left.unlink()
        shutil.copy(template, fresh)
        fresh.replace(database)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowServer, "_make", copied)
        yield


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that gives a port of 127.0.0.1 on which nobody listens."""
    from tests.factories.ports import free_port as find_port

    return find_port


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Return a function that gives a new Airflow home whose database is ready: made once, then copied."""
    from airflow_mlops_provider.demo.local_airflow.stack import MIGRATED, Stack

    template = tmp_path_factory.mktemp("template")

    def make() -> Path:
        if not (template / MIGRATED).exists():
            Stack(template, template, 0).prepare()
        home = tmp_path_factory.mktemp("airflow")
        for name in ("airflow.db", MIGRATED):
            shutil.copy(template / name, home)
        return home

    return make


@pytest.fixture(scope="module")
def stack_factory(prepared_home: Callable[[], Path]) -> Iterator[Callable[..., Any]]:
    """Return a function that starts a real Airflow on a folder of DAGs; all are stopped with the module's last test.

    ``stack = stack_factory(dags, env={…})``; keywords as in ``Stack``. Starting takes some 20 seconds: share one
    per module by a module-scoped fixture of your own.
    """
    from airflow_mlops_provider.demo.local_airflow.stack import Stack
    from tests.factories.ports import free_port as find_port

    started: list[Stack] = []

    def start(dags: Path, **settings: Any) -> Stack:
        settings = {"home": settings.pop("home", None) or prepared_home(), "port": find_port(), **settings}
        stack = Stack(dags=dags, **settings)
        started.append(stack)
        stack.start()
        return stack

    yield start
    for stack in started:
        stack.stop()


@pytest.fixture
def stack(stack_factory: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
    """Return a real Airflow on an empty folder of DAGs, ``tmp_path / "dags"``, stopped after the test."""
    dags = tmp_path / "dags"
    dags.mkdir()
    one = stack_factory(dags)
    yield one
    one.stop()
