"""GitHub Actions, GitLab CI and Jenkins keep what every CI system keeps, against servers that speak their APIs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.backends.source.ci import base
from airflow_mlops_provider.backends.source.ci.base import CISystem
from airflow_mlops_provider.extensions import CI_SYSTEMS
from airflow_mlops_provider.testing import CISystemContract
from tests.factories.ci import PROJECT, TOKEN, USER, CIWorld


class TestCISystems(CISystemContract):
    """Each of ours."""

    @pytest.fixture(params=CI_SYSTEMS.builtin)
    def world(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[CIWorld]:
        """A host of that kind; a new run is not in its first list."""
        monkeypatch.setattr(base, "PAUSE", 0.01)
        with CIWorld(request.param, unseen=1) as host:
            yield host

    @pytest.fixture
    def system(self, world: CIWorld) -> CISystem:
        """With the host's own token."""
        return CI_SYSTEMS.find(world.kind)(world.url, PROJECT, Credentials(USER, TOKEN))

    @pytest.fixture
    def stranger(self, world: CIWorld) -> CISystem:
        """With another."""
        return CI_SYSTEMS.find(world.kind)(world.url, PROJECT, Credentials(USER, "no-such-secret"))

    @pytest.fixture
    def end(self, world: CIWorld) -> Callable[[bool], object]:
        """Lets the newest run end."""
        return world.end
