"""A server on this machine, and one that runs already, keep what every model server keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from airflow_mlops_provider.backends.model_server import launcher
from airflow_mlops_provider.backends.model_server import releases as pointer
from airflow_mlops_provider.backends.model_server.base import ModelServer, Served, ServerCode
from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.extensions import MODEL_SERVERS
from airflow_mlops_provider.lifecycle.sections import Serving
from airflow_mlops_provider.testing import ModelServerContract
from tests.factories.deploy import DeployWorld
from tests.factories.ports import free_port
from tests.factories.serving import NAME, make_model

pytestmark = pytest.mark.timeout(600)


def make_broken(folder: Path, _: int) -> None:
    """Keep the files of a model that nothing loads."""
    make_model(folder, 9)
    for file in folder.iterdir():
        file.write_text("no model")


class TestModelServers(ModelServerContract):
    """Each of ours but that on a cluster, which :mod:`tests.integration.serving.test_targets` tries."""

    @pytest.fixture(scope="class")
    def world(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployWorld]:
        """A product with versions that may be live."""
        world = DeployWorld(tmp_path_factory.mktemp("servers"), free_port())
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("PYTHONPATH", str(world.code))
            yield world
        world.close()

    @pytest.fixture(scope="class")
    def releases(self, world: DeployWorld) -> tuple[Release, Release]:  # type: ignore[override]
        """Of two models."""
        return Release.of(world.ready()), Release.of(world.ready(1))

    @pytest.fixture(scope="class")
    def broken(self, world: DeployWorld) -> Release:  # type: ignore[override]
        """Of files that are no model."""
        return Release.of(world.ready(2, make=make_broken))

    @pytest.fixture(params=["local", "url"])
    def server(self, request: pytest.FixtureRequest, world: DeployWorld) -> Iterator[ModelServer]:
        """None runs before the first deployment to this machine; one without a version is there before that by URL."""
        make = partial(
            Served,
            product=NAME,
            root=str(world.root),
            store=world.store,
            port=world.port,
            log=world.root / "server.log",
            code_of=lambda _: ServerCode("", ["--online-store", json.dumps({"type": "sqlite"})]),
        )
        connected = world.url if request.param == "url" else None
        server: ModelServer = MODEL_SERVERS.find(request.param)(make(serving=Serving(), connected=connected))
        if connected:
            launcher.ensure_running(NAME, str(world.root), "127.0.0.1", world.port, world.root / "server.log")
        yield server
        pointer.request(world.store, NAME, None)
        launcher.stop(NAME, str(world.root))
