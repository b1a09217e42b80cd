"""Rollouts against a real server that is called all the time: what is worse is taken back, the others go live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.serving import releases
from airflow_mlops_provider.serving.process.client import server_state
from tests.factories import flaws
from tests.factories.rollouts import PLAN, RolloutWorld
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
    deployed.plan = PLAN
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


FLAWS: dict[str, tuple[Callable[[Path, int], None], str]] = {
    "5xx": (flaws.plant("ERRORS"), "errors: "),
    "p99 three times as long": (flaws.plant("SLOW"), "latency: "),
    "calibration": (flaws.plant("SHIFTED"), "shift: "),
    "missing features": (flaws.of_inputs("mean_price", "orders"), "missing: "),
    "memory leak": (flaws.plant("LEAKING"), "memory: "),
    "slow start": (flaws.plant("SLOW_START"), "start: "),
    "wrong schema": (flaws.of_inputs("price", "colour"), "it can't be loaded: "),
    "hangs": (flaws.plant("HANGING"), "errors: "),
}


def test_a_worse_metric_is_taken_back_once_labels_arrive(world: RolloutWorld) -> None:
    """A candidate that says the contrary goes on as long as nobody knows better, and is taken back when truth is in."""
    world.plan = {**world.plan, "limits": {**world.plan["limits"], "shift": 0.99}, "shadow": "PT90S"}
    before, version = world.truth(), world.ready(90, make=flaws.plant("INVERTED"))
    with world.called() as calls:
        for _ in range(3):
            assert world.deploy(version).result.facts["status"] == "shadow"  # type: ignore[union-attr]
            time.sleep(2)
        world.label(calls)
        begun = time.monotonic()
        assert world.roll_out(version, 60) == "rejected", world.last(version)
    print(world.last(version).reason, f"{time.monotonic() - begun:.1f} s")
    assert world.last(version).reason.startswith("metric: ")
    assert world.truth() == before
    assert {(call.status, call.version) for call in calls} == {(200, before)}


@pytest.mark.parametrize("what", FLAWS)
def test_a_regression_is_taken_back(world: RolloutWorld, what: str) -> None:
    """Within a minute, with the limit in the ledger; no call fails, and the live version answers all others."""
    make, reason = FLAWS[what]
    before, version = world.truth(), world.ready(100 + [*FLAWS].index(what), make=make)
    with world.called() as calls:
        begun = time.monotonic()
        assert world.roll_out(version) == "rejected", world.last(version)
        took = time.monotonic() - begun
    entry = world.last(version)
    print(what, entry.evidence, f"{took:.1f} s", entry.reason, len(calls))
    assert entry.reason.startswith(reason), entry.reason
    assert took < 60
    assert world.truth() == before
    pointer, state = releases.read_desired(world.store, NAME), server_state(world.url)
    assert pointer is not None and pointer.candidate is None
    assert state is not None and state.candidate is None
    assert {call.status for call in calls} == {200}
    shares = {call.row["customer"] for call in calls if call.version == version.version}
    assert len(shares) < 0.8 * 60
