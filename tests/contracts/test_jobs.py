"""Our own jobs keep what every job keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.testing import JobContract
from tests.factories.tiny import TinyWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TinyWorld]:
    """A tiny product."""
    tiny = TinyWorld(tmp_path)
    tiny.write("expectations.py", "def expectations(name):\n    return []\n")
    yield tiny
    tiny.close()


class TestJobs(JobContract):
    """Those that read a delivery and make tables and reports of it: with side effects, and without."""

    @pytest.fixture(params=["extract", "clean", "validate"])
    def spec(self, request: pytest.FixtureRequest, world: TinyWorld) -> JobSpec:
        """The job on the tiny product's one day."""
        if request.param == "extract":
            return world.spec("extract")
        if request.param == "clean":
            return world.cleaning()
        return world.spec("validate", inputs={"dataset": world.extracted()}, params={"what": "raw"})
