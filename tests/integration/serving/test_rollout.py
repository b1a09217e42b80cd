"""Rollouts against a real server that is called all the time: what is worse is taken back, the others go live."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from airflow_mlops_provider.backends.model_server import releases
from airflow_mlops_provider.backends.model_server.client import server_state
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.lifecycle.release.registry import Status
from tests.factories import flaws
from tests.factories.dag_runs import DagRuns
from tests.factories.deploy import REPOSITORY
from tests.factories.page_worlds import airflow_process
from tests.factories.rollouts import PLAN, RolloutWorld
from tests.factories.serving import NAME, make_rows

SEED = 7
KILLS, SWAPS = int(os.environ.get("MLOPS_TEST_KILLS", "5")), int(os.environ.get("MLOPS_TEST_SWAPS", "9"))
ALL = "MLOPS_TEST_ROLLOUTS"
SHARE, CUSTOMERS = 0.2, 400
pytestmark = pytest.mark.timeout(900)
whole = pytest.mark.skipif(not os.environ.get(ALL), reason=f"one rollout is run each time, all of them with {ALL}=1")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolloutWorld]:
    """A product whose first version is live."""
    from tests.factories.ports import free_port

    with RolloutWorld(tmp_path_factory.mktemp("rollouts"), free_port()).live() as world:
        yield world


@pytest.fixture
def world(deployed: RolloutWorld) -> RolloutWorld:
    """The same, whatever the test before has left: reconciled, and of one truth."""
    world = deployed.settled()
    world.plan = PLAN
    return world


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


@whole
def test_one_that_ends_the_server_is_taken_back(world: RolloutWorld) -> None:
    """The server that it took along is started again, with the live version alone."""
    before, version = world.truth(), world.ready(91, make=flaws.plant("CRASHING"))
    assert world.deploy(version).result.facts["status"] == "shadow"  # type: ignore[union-attr]
    with suppress(httpx.TransportError):
        for _ in range(500):
            httpx.post(f"{world.url}/predict", json={"rows": make_rows(1)}, trust_env=False)
            time.sleep(0.05)
    assert world.roll_out(version) == "rejected"
    assert world.last(version).reason == "the model server does not answer for 20 s"
    assert world.truth() == before


@whole
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


@pytest.mark.parametrize("what", ["5xx", *(pytest.param(flaw, marks=whole) for flaw in FLAWS if flaw != "5xx")])
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


@whole
@pytest.mark.parametrize("what", FLAWS)
def test_what_no_shadow_showed_touches_the_canarys_share_alone(world: RolloutWorld, what: str) -> None:
    """Without a phase in shadow the canary answers first: those of its share at most, and no call fails.

    How long it takes depends on the share: a shift is judged from 64 rows of it on.
    """
    make, reason = FLAWS[what]
    world.plan = {**PLAN, "shadow": "PT0S", "canary": SHARE}
    before, version = world.truth(), world.ready(200 + [*FLAWS].index(what), make=make)
    with world.called(customers=CUSTOMERS) as calls:
        begun = time.monotonic()
        assert world.roll_out(version) == "rejected", world.last(version)
        took = time.monotonic() - begun
    entry, own = world.last(version), [call for call in calls if call.version == version.version]
    touched = {call.row["customer"] for call in own}
    print(what, f"{took:.1f} s", entry.reason, f"{len(own)} of {len(calls)} calls, {len(touched)} of {CUSTOMERS}")
    assert (entry.reason.startswith(reason), entry.evidence["phase"]) == (True, "canary"), entry
    assert world.truth() == before
    assert {call.status for call in calls} == {200}
    # Customers are drawn by a hash: four standard deviations more than their share are none of it.
    assert len(touched) <= SHARE * CUSTOMERS + 4 * math.sqrt(CUSTOMERS * SHARE * (1 - SHARE))
    assert len(own) <= 2 * SHARE * len(calls)


@whole
def test_the_task_waits_deferred_until_the_version_is_live(
    world: RolloutWorld, tmp_path: Path, prepared_home: Callable[[], Path]
) -> None:
    """The deployment DAG runs the whole rollout; of a version that is taken back the run fails, naming the limit."""
    before, bad = world.truth(), world.ready(100, make=flaws.plant("ERRORS"))
    settings = {"ARTIFACT_ROOT": world.root, "MLFLOW_URI": world.services.mlflow, "SERVING_PORT": world.port}
    env = {f"AIRFLOW__MLOPS__{name}": str(value) for name, value in settings.items()}
    process = airflow_process(prepared_home(), PYTHONPATH=f"{REPOSITORY}:{world.code}", NO_PROXY="127.0.0.1", **env)
    runs, text = DagRuns(tmp_path, process), DAG.format(code=str(world.code), plan=world.plan)
    try:
        with world.called() as calls:
            outcome = runs.run("tiny_shop_deployment", text)["deployment.deploy"]
            assert outcome.state == "failed" and f"version {bad.version} was taken back: errors: " in outcome.error
            assert world.truth() == before
            good = world.ready(3)
            outcome = runs.run("tiny_shop_deployment", text)["deployment.deploy"]
            assert (outcome.state, outcome.value["version"]) == ("success", good.version), outcome.error
    finally:
        process.shutdown()
    assert world.truth() == good.version
    assert world.phases(good)[-3:] == ["shadow", "canary", "live"]
    assert {call.status for call in calls} == {200}


DAG = """
import sys
sys.path.insert(0, {code!r})
from airflow_mlops_provider import MLOpsDag
from airflow_mlops_provider.lifecycle.release.deployment import Deployment, Rollout
from tiny_shop.product import product

deployment = Deployment(rollout=Rollout.model_validate({plan!r}))
product = product.model_copy(update={{"deployment": deployment}})
dag = MLOpsDag(product, "deployment", schedule=None, default_args=DEFAULTS)
"""


@whole
def test_rollouts_killed_at_random_points(world: RolloutWorld) -> None:
    """Killed at any point of any look: the next reconciliation, or a retry, finds one truth and the right end."""
    world.plan = {**PLAN, "shadow": "PT0.2S", "bake": "PT0.2S", "calls": 5}
    choose, killed, points = random.Random(SEED), 0, list[str]()
    with world.called() as calls:
        version = world.ready(1)
        for _ in range(3):
            assert world.run(world.spec("deploy", version=version), die_at="log") == [0]
            points += [point for point in world.points() if int(point.rpartition(":")[2]) <= 2]
            time.sleep(1.5)
        while killed < KILLS:
            version = world.ready(choose.randrange(3))
            end = time.monotonic() + 300
            while (entry := world.last(version)).status not in ("live", "rejected"):
                assert time.monotonic() < end, entry
                point = choose.choice(points)
                (status,) = world.run(world.spec("deploy", version=version), die_at=point)
                killed += status == -9
                report = world.reconcile() if status == -9 and choose.random() < 0.5 else None
                print(point, status, world.last(version).status, report and report.facts["repaired"])
                assert report is None or report.passed, (point, report.broken)
            assert world.last(version).status == "live", world.last(version)
            world.reconcile()
            assert world.truth() == version.version
    assert {call.status for call in calls} == {200}


@whole
def test_swaps_under_load_lose_no_call(world: RolloutWorld) -> None:
    """Versions that become candidates, canaries, live and none of it: each call is answered."""
    world.plan = {**PLAN, "shadow": "PT60S"}
    live, version = world.ledger.live(), world.ready(2)
    assert live is not None
    told = world.deploy(version)
    assert told.result is not None and told.result.facts["status"] == "shadow"
    entry = world.ledger.move(version, Status.CANARY, reason="a test wants it", by="tests")
    canary = releases.CandidateRelease.of(version, mode=Status.CANARY, share=0.5, requested_at=entry.at)
    wishes = [releases.Release.of(live, candidate=canary), releases.Release.of(version), releases.Release.of(live)]
    with world.called() as calls:
        for swap in range(SWAPS):
            wish = wishes[swap % 3].model_copy(update={"requested_at": datetime.now(UTC)})
            releases.request(world.store, NAME, wish)
            end = time.monotonic() + 30
            while not follows(server_state(world.url), wish):
                assert time.monotonic() < end, (wish, server_state(world.url))
                time.sleep(0.05)
    print(SWAPS, len(calls))
    assert {call.status for call in calls} == {200}
    assert {call.version for call in calls} == {live.version, version.version}
    world.ledger.move(version, Status.REJECTED, reason="a test wants it", by="tests")


def follows(state: ServerState | None, wish: releases.Release) -> bool:
    """Say whether a server is where a pointer wants it."""
    loaded = state.candidate.version if state and state.candidate and state.candidate.since else None
    wanted = wish.candidate.version if wish.candidate else None
    return state is not None and (state.version, loaded) == (wish.version, wanted)
