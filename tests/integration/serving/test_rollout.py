"""Rollouts against a real server that is called all the time: what is worse is taken back, what is as good goes live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.serving import releases
from airflow_mlops_provider.serving.process.client import server_state
from tests.factories import flaws
from tests.factories.rollouts import RolloutWorld
from tests.factories.serving import NAME

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolloutWorld]:
    """A product whose first version is live."""
    from tests.factories.ports import free_port

    world = RolloutWorld(tmp_path_factory.mktemp("rollouts"), free_port())
    try:
        told = world.deploy(world.ready())
        assert told.state == "success", told.failure
        yield world
    finally:
        world.close()


@pytest.fixture
def world(deployed: RolloutWorld) -> RolloutWorld:
    """The same, whatever the test before has left: reconciled, and of one truth."""
    report = deployed.reconcile()
    assert report.passed, report.broken
    assert deployed.truth()
    return deployed


def test_an_equal_version_goes_live_step_by_step(world: RolloutWorld) -> None:
    """Through shadow and canary, its share of the customers always answered by the same version, no call lost."""
    before, version = world.truth(), world.ready(1)
    with world.called() as calls:
        assert world.roll_out(version) == "live", world.last(version)
    assert world.truth() == version.version
    assert world.phases(version)[-3:] == ["shadow", "canary", "live"]
    assert {call.status for call in calls} == {200}
    assert {call.version for call in calls} == {before, version.version}
    canary = [call for call in calls if call.at < min(c.at for c in calls if c.version == version.version) + 1.5]
    print(len(calls), len(canary))
