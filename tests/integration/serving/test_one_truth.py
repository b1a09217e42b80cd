"""Deployments that meet, die or are tampered with: server, pointer, ledger and MLflow end as one truth."""

from __future__ import annotations

import getpass
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_mlops_provider.backends.model_server import client, launcher, releases
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.backends.tracking.mlflow.adoption import adopt
from airflow_mlops_provider.backends.tracking.mlflow.mirror import DEPLOYING, HEAD
from airflow_mlops_provider.jobs.deployment.rollout import serving_code
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.registry import Status
from tests.factories.deploy import REPOSITORY, DeployWorld
from tests.factories.serving import NAME

KILLS, SEED = 20, 7
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployWorld]:
    """A product whose first version is live."""
    from tests.factories.ports import free_port

    with DeployWorld(tmp_path_factory.mktemp("truth"), free_port()).live() as world:
        yield world


@pytest.fixture
def world(deployed: DeployWorld) -> DeployWorld:
    """The same, whatever the test before has left: reconciled, and of one truth."""
    return deployed.settled()


def state_of(world: DeployWorld) -> ServerState:
    """Return what the model server says of itself."""
    state = client.server_state(world.url)
    assert state is not None
    return state


def test_two_deployments_at_once(world: DeployWorld) -> None:
    """Ten times two deployments of different versions at once: both end well, and the newer version is the truth."""
    for _ in range(10):
        older, newer = world.ready(1), world.ready(2)
        pair = [world.spec("deploy", f"of {one.version}", version=one) for one in (newer, older)]
        assert world.run(*pair) == [0, 0]
        assert world.truth() == newer.version


def test_deployments_killed_at_random_points(world: DeployWorld) -> None:
    """Killed at twenty random points without a retry: after one reconciliation there is one truth, old or new."""
    version = world.ready(1)
    assert world.run(world.spec("deploy", version=version), die_at="log") == [0]
    # Waiting asks again and again: each point counts as often as thrice, so that what is done once is met as well.
    points = [point for point in world.points() if int(point.rpartition(":")[2]) <= 3]
    killed = 0
    choose = random.Random(SEED)
    while killed < KILLS:
        before, point = world.truth(), choose.choice(points)
        version = world.ready(choose.randrange(3))
        (status,) = world.run(world.spec("deploy", version=version), die_at=point)
        killed += status == -9
        report = world.reconcile()
        print(point, status, world.truths(), report.facts["repaired"], report.broken)
        assert report.passed, (point, report.broken)
        assert world.truth() in {before, version.version}, point
    assert world.reconcile().facts["repaired"] == []


def test_a_dead_server_is_started_again(world: DeployWorld) -> None:
    """A local server that was killed is started again by the next reconciliation, which says so."""
    before = world.truth()
    psutil.Process(state_of(world).pid).kill()
    report = world.reconcile()
    assert report.passed and "the model server did not answer" in report.facts["repaired"]
    assert world.truth() == before


def test_a_server_whose_launcher_died_is_found(world: DeployWorld) -> None:
    """A server whose launcher was killed once it had begun is found, and not started twice."""
    root = str(world.root)
    launcher.stop(NAME, root)
    path = os.pathsep.join((str(REPOSITORY), str(world.code)))
    command = launcher.command(NAME, root, "127.0.0.1", world.port, serving_code(world.product.scoring))
    begun = launcher.spawn(command, world.root.parent / "by-hand.log", {**os.environ, "PYTHONPATH": path})
    version = world.ready(1)
    assert world.deploy(version).state == "success"
    assert world.truth() == version.version
    servers = [one for one in psutil.process_iter(["cmdline"]) if root in (one.info["cmdline"] or ())]
    assert [one.pid for one in servers] == [state_of(world).pid] == [begun.pid]


def test_mlflow_down_at_the_end(world: DeployWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment whose last word MLflow doesn't hear is done and says so; reconciliation tells MLflow later."""
    from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror
    from airflow_mlops_provider.exceptions import BackendError
    from airflow_mlops_provider.runtime import runner

    def down(*_: Any) -> None:
        raise BackendError("MLflow is down")

    version = world.ready(2)
    with monkeypatch.context() as broken:
        broken.setattr(Mirror, "follow", down)
        told = runner.run(world.spec("deploy", version=version))
    assert told.state == "success" and told.result is not None
    assert told.result.facts["not_shown"] == "MLflow is down"
    assert world.mirror.read().aliases["champion"] != version.version
    report = world.reconcile()
    assert report.passed and len(report.facts["repaired"]) >= 1
    assert world.truth() == version.version


def test_without_mlflow_what_serves_is_still_put_right(world: DeployWorld) -> None:
    """With MLflow down nothing new is deployed, to be tried again; a dead server is started, and both are said."""
    before, version = world.truth(), world.ready(1)
    down = {"services": world.services.model_copy(update={"mlflow": "http://127.0.0.1:9"})}
    spec = world.spec("deploy", version=version).model_copy(update=down)
    assert world.run(spec) == [1]
    failure = world.told(spec).failure
    assert failure is not None and (failure.error, failure.retryable) == ("BackendError", True)
    assert world.truth() == before
    psutil.Process(state_of(world).pid).kill()
    spec = world.spec("reconcile").model_copy(update=down)
    assert world.run(spec) == [0]
    report = world.told(spec).result
    assert isinstance(report, Report) and report.broken[0].startswith("MLflow does not answer")
    assert report.facts["repaired"] == ["the model server did not answer"]
    assert world.truth() == before


@pytest.mark.parametrize("error", [KeyError("odd"), OSError("disk"), KeyboardInterrupt()], ids=repr)
def test_whatever_is_raised_takes_the_pointer_back(
    world: DeployWorld, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Any exception between the wish and the server's answer leaves the pointer at what was live before."""
    from airflow_mlops_provider.jobs.deployment import rollout
    from airflow_mlops_provider.runtime.context import JobContext
    from airflow_mlops_provider.runtime.definition import find_job
    from airflow_mlops_provider.runtime.inputs import Inputs

    def fail(*_: Any, **__: Any) -> None:
        raise error

    version, before = world.ready(2), world.ledger.live()
    monkeypatch.setattr(client, "wait_for_version", fail)
    spec = world.spec("deploy", version=version)
    with pytest.raises(type(error)):
        rollout.roll(JobContext(spec, world.root, find_job(spec.job).read(spec), Inputs(world.store)), version, before)
    pointer = releases.read_desired(world.store, NAME)
    assert before is not None and pointer is not None and pointer.model == before.model_copy(update={"facts": {}})


def test_in_a_pod_no_server_is_started(world: DeployWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that runs in a pod names the connection that it needs, is not retried, and changes nothing."""
    from airflow_mlops_provider.runtime import runner

    before = world.truth()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    told = runner.run(world.spec("deploy", version=world.ready(1)))
    assert told.failure is not None and told.failure.error == "ConfigurationError" and not told.failure.retryable
    assert "connection mlops_model_server" in told.failure.message
    assert world.truth() == before


def test_only_names_are_taken_from_a_reference(world: DeployWorld) -> None:
    """A reference with another hash or URI than the registered one is refused, and the live version untouched."""
    before, version = world.truth(), world.ready(1)
    other = world.ready(2)
    for change in ({"hash": other.hash}, {"uri": other.uri}, {"uri": "file:///tmp/model"}, {"name": "other_shop"}):
        told = world.deploy(version.model_copy(update=change), explicit=True)
        assert told.failure is not None and not told.failure.retryable, change
        assert told.failure.error in {"TransitionError", "IntegrityError", "ConfigurationError"}, told.failure
    assert world.truth() == before


def test_back_only_by_a_rollback(world: DeployWorld) -> None:
    """An older version is not deployed by itself; a retired one comes back with ``rollback`` only, recorded as such."""
    old = world.ledger.live()
    assert old is not None
    new = world.ready(2)
    world.deploy(new)
    assert world.truth() == new.version
    assert world.deploy(old).state == "success"  # a replayed event: nothing to do
    assert world.truth() == new.version
    told = world.deploy(old, explicit=True)
    assert told.failure is not None and "is retired and cannot become live" in told.failure.message
    assert world.deploy(old, explicit=True, rollback=True).state == "success"
    assert world.truth() == old.version
    (entry,) = [e for e in world.ledger.entries() if e.reason == "brought back by hand: nobody said why"]
    assert entry.evidence == {"rollback": True}


def test_back_by_one_command(world: DeployWorld, tmp_path: Path) -> None:
    """The version before answers again, while calls are answered throughout; who did it and why is in the ledger."""
    old = world.ledger.live()
    assert old is not None
    world.deploy(world.ready(2))
    asked, done = [], threading.Event()

    def ask() -> None:
        while not done.wait(0.02):
            asked.append(client.server_state(world.url))

    asking = threading.Thread(target=ask)
    asking.start()
    told = rollback(world, tmp_path, "--reason", "alarms doubled")
    done.set()
    asking.join()
    assert told.returncode == 0 and f"version {old.version} answers at {world.url}" in told.stdout, told.stderr
    assert world.truth() == old.version
    assert asked and all(state and state.live for state in asked)
    entry = world.ledger.entries()[-3]
    assert (entry.reason, entry.status) == ("brought back by hand: alarms doubled", "production-ready")
    assert f"/{getpass.getuser()}/" in entry.by
    refused = rollback(world, tmp_path, "--to", "999", "--reason", "no matter")
    assert refused.returncode == 1 and "unknown model version" in refused.stderr and "Traceback" not in refused.stderr
    assert world.truth() == old.version


def rollback(world: DeployWorld, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``airflow mlops rollback`` with the world's artifact root, MLflow and port."""
    settings = {
        "PRODUCTS_FOLDERS": world.code,
        "ARTIFACT_ROOT": world.root,
        "MLFLOW_URI": world.services.mlflow,
        "SERVING_PORT": world.port,
    }
    env = {**os.environ, "AIRFLOW_HOME": str(home), "PYTHONWARNINGS": "ignore", "COLUMNS": "200"}
    env |= {f"AIRFLOW__MLOPS__{name}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "airflow", "mlops", "rollback", NAME, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_what_a_person_retires_goes_live_by_a_rollback_only(world: DeployWorld) -> None:
    """The entry says who and why, no deployment takes it, MLflow follows; a live version is refused, untouched."""

    def retire(version: ModelVersion, **params: str) -> Manifest:
        spec = world.spec("retire", version=version).model_copy(update={"params": params})
        world.run(spec)
        return world.told(spec)

    live, version = world.ledger.live(), world.ready(2)
    assert live is not None
    told = retire(live, reason="bad")
    assert told.failure is not None and "is live: first roll back to another version" in told.failure.message
    assert "'reason'" in str(retire(version, reason=" ").failure)
    assert retire(version, reason="a sensor was replaced", by="ada").state == "success"
    assert retire(version, reason="again").state == "success"  # a retry: the decision stays
    entry = world.ledger.entries()[-1]
    assert (entry.version.version, entry.status, entry.was) == (version.version, "retired", "production-ready")
    assert (entry.by, entry.reason, entry.evidence) == ("ada", "a sensor was replaced", {"run": "tests/one/retire"})
    assert world.mirror.read().aliases.get("challenger") != version.version
    refused = world.deploy(version, explicit=True)
    assert refused.failure is not None and "is retired and cannot become live" in refused.failure.message
    assert world.truth() == live.version
    assert world.deploy(version, explicit=True, rollback=True).state == "success"
    assert world.truth() == version.version


def test_a_retirement_killed_before_mlflow_knew_is_finished(tmp_path: Path) -> None:
    """By its retry, also where nothing is live yet: what never served needs no successor."""
    world = DeployWorld(tmp_path, 0)
    try:
        version = world.ready()
        world.ledger.move(version, Status.RETIRED, reason="killed here", by="ada")
        spec = world.spec("retire", version=version).model_copy(update={"params": {"reason": "killed here"}})
        assert world.run(spec) == [0], world.told(spec).failure
        assert world.mirror.read().head == world.ledger.head()
    finally:
        world.close()


def test_a_promotion_without_its_report_does_not_go_live(world: DeployWorld) -> None:
    """A version whose evaluation was changed or removed since its promotion is refused, and the live one untouched."""
    before, version = world.truth(), world.ready(3)
    report = next(e for e in world.ledger.entries() if e.version.version == version.version).evidence["report"]
    file = Path(report.removeprefix("file://")) / "evaluation.json"
    whole = file.read_text()
    for damage in (lambda: file.write_text(whole + " "), file.unlink):
        damage()
        told = world.deploy(version)
        assert told.failure is not None and told.failure.error == "IntegrityError" and report in told.failure.message
        assert world.truth() == before
    file.write_text(whole)
    assert world.deploy(version).state == "success"
    assert world.truth() == version.version


def test_a_pointer_written_by_hand_is_put_right(world: DeployWorld) -> None:
    """A wish for a production-ready version that nobody deployed is taken back, and said."""
    before, version = world.truth(), world.ready(1)
    releases.request(world.store, NAME, releases.Release.of(version))
    report = world.reconcile()
    assert report.passed and f"the pointer named version {version.version}" in report.facts["repaired"]
    assert world.truth() == before


def test_a_moved_alias_is_put_right(world: DeployWorld) -> None:
    """An alias that was moved by hand is moved back, and said."""
    other = world.ready(1)
    world.mirror.set_alias(NAME, "champion", other.version)
    report = world.reconcile()
    assert report.passed and any("alias champion" in line for line in report.facts["repaired"])
    assert world.truth() != other.version


@pytest.mark.parametrize("what", ["another server", "lost head"])
def test_a_registry_that_vouches_for_nothing(world: DeployWorld, tmp_path: Path, what: str) -> None:
    """Another MLflow, or one that lost the ledger's head: nothing is deployed, and what serves is not touched."""
    before, version = world.truth(), world.ready(2)
    services, said = world.services, "is not known to MLflow"
    if what == "another server":
        services, said = services.model_copy(update={"mlflow": f"sqlite:///{tmp_path}/other.db"}), "airflow mlops adopt"
    else:
        for tag in (HEAD, DEPLOYING):
            world.mirror.client.delete_registered_model_tag(NAME, tag)
    deploying, reconciling = (
        spec.model_copy(update={"services": services})
        for spec in (world.spec("deploy", version=version), world.spec("reconcile"))
    )
    assert world.run(deploying) == [1]
    failure = world.told(deploying).failure
    assert failure is not None and said in failure.message
    assert world.run(reconciling) == [0]
    report = world.told(reconciling).result
    assert isinstance(report, Report) and not report.passed and said in report.broken[0]
    assert report.facts["repaired"] == []
    assert world.truths() == {**dict.fromkeys(("server", "pointer", "ledger", "alias"), before)}
    adopt(world.store, world.mirror)
    assert world.truth() == before


FORGERIES = ("edited", "removed", "tail removed", "added", "replayed", "emptied")


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_ledger_stops_everything(world: DeployWorld, what: str) -> None:
    """Whatever was done to its files: nothing is deployed, the reconciliation fails and names the file."""
    before, version = world.truth(), world.ready(2)
    folder = world.root / NAME / "ledger"
    kept = {file: file.read_bytes() for file in folder.glob("*.json")}
    last, end = max(kept), len(kept)
    try:
        named = forge(world, what, last, end)
        told = world.deploy(version)
        assert told.failure is not None and told.failure.error == "IntegrityError" and named in told.failure.message
        report = world.reconcile()
        assert not report.passed and any(named in line for line in report.broken)
        assert state_of(world).version == before
    finally:
        for file in folder.iterdir():
            file.unlink()
        for file, data in kept.items():
            file.write_bytes(data)


def forge(world: DeployWorld, what: str, last: Path, end: int) -> str:
    """Do something to the ledger, and return the name of the file that has to be named."""
    added = f"{end:08d}.json"
    if what == "edited":
        last.write_text(json.dumps({**json.loads(last.read_text()), "reason": "of course"}, indent=1))
        return last.name
    if what == "removed":
        sorted(last.parent.glob("*.json"))[1].unlink()
        return "00000001.json"
    if what == "tail removed":
        last.unlink()
        return last.name
    if what == "emptied":
        last.write_text("")
        return last.name
    newest = world.ledger.entries()
    retired = next(e.version for e in newest if e.status is Status.RETIRED)
    if what == "replayed":
        world.ledger.move(retired, Status.PRODUCTION_READY, reason="", by="me", evidence={"rollback": True})
        releases.request(world.store, NAME, releases.Release.of(retired))
    else:
        world.ledger.move(newest[-1].version, Status.LIVE, reason="it answers", by="me", evidence={"url": world.url})
    return added
