"""A server of the tiny shop that predicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.serving.app import create_app
from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.serving import StandInFeatures, make_release, request_release, until


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("protocols")


@pytest.fixture(scope="package")
def client(product: MLProduct, folder: Path) -> Iterator[TestClient]:
    request_release(folder, make_release(folder, 1))
    server = ModelServer(product, str(folder), StandInFeatures, folder / "log", poll=0.02)
    with TestClient(create_app(server, token="")) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client
