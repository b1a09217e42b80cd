"""A process on this machine keeps what every place keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.base import Place
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.testing import PlaceContract
from tests.factories.tiny import TinyWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TinyWorld]:
    """A tiny product."""
    tiny = TinyWorld(tmp_path)
    yield tiny
    tiny.close()


class TestLocalProcess(PlaceContract):
    """A child process."""

    @pytest.fixture
    def place(self) -> Place:
        """With nothing said otherwise."""
        return LocalProcess()

    @pytest.fixture
    def spec(self, world: TinyWorld) -> JobSpec:
        """Rules that keep all rows."""
        return world.cleaning()

    @pytest.fixture
    def failing(self, world: TinyWorld) -> JobSpec:
        """A delivery that nobody can read."""
        world.deliver("shop,amount,at\nnorth,much,yesterday\n")
        return world.spec("extract")
