"""Attacks on a running Airflow by its REST API and on the files of its loop: refused or repaired, and said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider.backends.model_server import releases
from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status, status_of
from airflow_mlops_provider.storage.artifacts import content_hash
from tests.factories.attack import BETTER, DEPLOYMENT, GOOD, TRAINING, WEAK, AttackWorld, until
from tests.factories.ports import free_port
from tests.factories.rain import NAME, PRODUCTS

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]
ELSEWHERE = "f" * 64


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, stack_factory: Callable[..., Stack]) -> Iterator[AttackWorld]:
    """Version 1 is retired, version 2 live, version 3 registered and too weak for the gates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PRODUCTS))  # for the model server
        one = AttackWorld(tmp_path_factory.mktemp("attacks"), free_port())
        try:
            for settings in (GOOD, BETTER):
                one.go_live(one.learn(settings))
            one.learn(WEAK)
            one.start(stack_factory)
            yield one
        finally:
            one.close()


@pytest.fixture
def world(loop: AttackWorld) -> Iterator[AttackWorld]:
    """The same, whose live version is untouched after the test."""
    live = loop.versions[1]
    same = (live.version, live.hash)
    before = len(loop.ledger.entries())
    yield loop
    assert loop.live() == {"server": same, "pointer": same, "ledger": same, "alias": live.version}
    assert [entry.status for entry in loop.ledger.entries()[before:]] == []
    assert status_of(loop.ledger.entries(), 3) is Status.REGISTERED


def changed(version: ModelVersion, **fields: Any) -> dict[str, Any]:
    """Return a version's reference with some fields said otherwise."""
    return version.model_copy(update=fields).to_json()


def test_a_forged_event(world: AttackWorld) -> None:
    """A production-ready event with an approved number and another model only wakes the deployment up."""
    forged = changed(world.versions[1], uri=world.versions[2].uri, hash=world.versions[2].hash)
    assert world.event({"reference": forged}) == {"deployment.deploy": "skipped"}


def test_a_replayed_event(world: AttackWorld) -> None:
    """The event of a version that was retired since does not bring it back."""
    assert world.event({"reference": world.versions[0].to_json()}) == {"deployment.deploy": "skipped"}


def test_an_event_of_a_version_without_gates(world: AttackWorld) -> None:
    """An event for a version that was registered only puts nothing live, and neither does its number in the form."""
    assert world.event({"reference": world.versions[2].to_json()}) == {"deployment.deploy": "skipped"}
    assert world.run(DEPLOYMENT, version=3) == {"deployment.deploy": "failed"}
    assert "version 3 is registered and cannot become live" in world.log(DEPLOYMENT, "deployment.deploy")


def test_a_retired_version_in_the_form(world: AttackWorld) -> None:
    """A retired version's number without *Rollback* is refused."""
    assert world.run(DEPLOYMENT, version=1) == {"deployment.deploy": "failed"}
    assert "version 1 is retired and cannot become live" in world.log(DEPLOYMENT, "deployment.deploy")


@pytest.mark.parametrize("what", ["another URI", "another hash", "outside the root"])
def test_a_reference_to_another_model(world: AttackWorld, what: str) -> None:
    """A task that is handed the live version's number with another model is refused, and says what is registered."""
    live, weak = world.versions[1:]
    forged = {
        "another URI": changed(live, uri=weak.uri),
        "another hash": changed(live, hash=weak.hash),
        "outside the root": changed(live, uri=(world.folder / "model").as_uri()),
    }[what]
    assert world.run("own", version=forged) == {"deploy": "failed"}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_pointer_written_by_hand(world: AttackWorld, number: int) -> None:
    """A pointer to a retired version, or to another model under the live number, is refused, shown and put right."""
    weak = world.versions[2]
    wish = releases.Release.of({1: world.versions[0], 2: world.versions[1], 3: weak}[number])
    if number == 2:
        wish = wish.model_copy(update={"model_uri": weak.uri, "model_hash": weak.hash})
    releases.request(world.store, NAME, wish)
    until(lambda: (failure := world.serving().failure) is not None and failure.requested_at == wish.requested_at)
    assert world.serving().version == 2
    state, report = world.reconciled()
    assert (state, report.facts["repaired"]) == ("success", [f"the pointer named version {number}"])


@pytest.mark.parametrize("what", ["edited", "last edited", "removed", "last removed", "added", "emptied"])
def test_a_ledger_that_was_tampered_with(world: AttackWorld, what: str) -> None:
    """The maintenance fails and names the file, a deployment is refused, and the model that serves goes on."""
    folder = world.root / NAME / "ledger"
    kept = {file: file.read_bytes() for file in folder.iterdir()}
    try:
        named = tamper(world, what, sorted(kept))
        state, report = world.reconciled()
        assert state == "failed" and any(named in line for line in report.broken), report
        if what in {"last edited", "added"}:
            assert world.run(DEPLOYMENT, version=2) == {"deployment.deploy": "failed"}
        assert world.serving().version == 2
    finally:
        for file in folder.iterdir():
            file.unlink()
        for file, data in kept.items():
            file.write_bytes(data)
        releases.request(world.store, NAME, releases.Release.of(world.versions[1]))
    state, report = world.reconciled()
    assert state == "success", report.broken


def tamper(world: AttackWorld, what: str, files: list[Path]) -> str:
    """Do something to the ledger's files, and return the name of the one that has to be named."""
    first, last = files[0], files[-1]
    if what in {"edited", "last edited"}:
        file = first if what == "edited" else last
        file.write_text(json.dumps({**json.loads(file.read_text()), "reason": "of course"}, indent=1))
        return last.name if what == "last edited" else files[1].name
    if what in {"removed", "last removed"}:
        file = first if what == "removed" else last
        file.unlink()
        return file.name
    if what == "emptied":
        last.write_text("")
        return last.name
    # A well-made entry, by which the retired version would come back; and a pointer to it.
    evidence = {"rollback": True}
    world.ledger.move(world.versions[0], Status.PRODUCTION_READY, reason="", by="nobody", evidence=evidence)
    releases.request(world.store, NAME, releases.Release.of(world.versions[0]))
    return f"{len(files):08d}.json"


def test_a_moved_alias(world: AttackWorld) -> None:
    """MLflow's champion, moved to another version, is moved back by the maintenance, which says so."""
    client = world.mirror.client
    client.set_registered_model_alias(NAME, "champion", "3")
    state, report = world.reconciled()
    assert (state, report.facts["repaired"]) == ("success", [f"alias champion of {NAME}: 3 → 2"])


def test_a_borrowed_evaluation(world: AttackWorld) -> None:
    """Another model's good evaluation promotes nothing either."""
    weak, report = world.versions[2], world.evaluations[1].to_json()
    report["facts"]["model"] = weak.hash
    handed_on = {"register": weak.to_json(), "validate_training_set": world.valid.to_json()}
    assert world.train("registry.promote", retune=report, **handed_on) == "failed"


def test_a_forged_registration(world: AttackWorld) -> None:
    """A weak version's number with a good model's hash and evaluation promotes nothing."""
    good = world.versions[1]
    forged = changed(world.versions[2], uri=good.uri, hash=good.hash, facts=good.facts)
    handed_on = {"register": forged, "validate_training_set": world.valid.to_json()}
    assert world.train("registry.promote", retune=world.evaluations[1].to_json(), **handed_on) == "failed"
    assert "version 3" in world.log(TRAINING, "registry.promote")


def test_a_forged_training(world: AttackWorld) -> None:
    """A model that no training made, behind a training set to success, is not registered."""
    made = world.root / NAME / "train" / ("a" * 32) / ("b" * 16)
    shutil.copytree(Path(world.models[2].uri.removeprefix("file://")), made)
    forged = world.models[1].model_copy(update={"uri": made.as_uri()}).to_json()
    evaluation = world.evaluations[1].to_json()
    assert world.train("registry.register", retune=evaluation, retune__model=forged) == "failed"


def test_reuse_under_a_claimed_hash(world: AttackWorld) -> None:
    """Data that was changed and claims its old hash counts by its own: what was learnt of the old is not reused."""
    made = world.folder / "artifacts" / NAME / "training_set" / ("c" * 32) / ("d" * 16)
    shutil.copytree(Path(world.data.uri.removeprefix("file://")), made)
    pd.read_parquet(made / "train.parquet").iloc[:-1].to_parquet(made / "train.parquet", index=False)
    forged = world.data.model_copy(update={"uri": made.as_uri()}).to_json()
    assert world.train("training.train", build_training_set=forged) == "success"
    files = (world.folder / "artifacts" / NAME / "train").glob("*/manifest.json")
    taught = {one.spec.inputs["training_set"].hash: one.result for one in map(_manifest, files)}
    assert taught[content_hash(made)].hash not in {version.hash for version in world.versions}


def _manifest(file: Path) -> Any:
    return Manifest.from_file(file.read_bytes())


def test_a_forged_evaluation(loop: AttackWorld) -> None:
    """Figures written by hand for a weak model, behind an evaluation set to success, promote nothing."""
    weak, report, live = loop.versions[2], loop.evaluations[2].to_json(), loop.live()
    report["facts"]["evaluation"] = {**loop.evaluations[1].facts["evaluation"]}
    loop.train("registry.promote", register=weak.to_json(), validate_training_set=loop.valid.to_json(), retune=report)
    assert status_of(loop.ledger.entries(), weak.version) in {Status.REGISTERED, Status.REJECTED}
    assert loop.live() == live


def test_back_by_hand(loop: AttackWorld) -> None:
    """No attack: *Rollback* in the form brings the retired version back, and the other one again after it."""
    for number in (1, 2):
        assert loop.run(DEPLOYMENT, version=number, rollback=True) == {"deployment.deploy": "success"}
        same = (number, loop.versions[number - 1].hash)
        assert loop.live() == {"server": same, "pointer": same, "ledger": same, "alias": number}


def test_silence_is_a_no(loop: AttackWorld) -> None:
    """Who may decide is reminded; when nobody answers in time the version is rejected, and what serves goes on."""
    version, live = loop.passed({"num_leaves": 6}), loop.live()
    states = loop.run("asks_briefly")
    assert states == {"deployment.approve": "skipped", "deployment.deploy": "skipped"}
    last = loop.ledger.entries()[-1]
    assert (last.version.version, last.status) == (version.version, Status.REJECTED)
    assert last.reason == "nobody decided within 0:00:16"
    log = loop.log("asks_briefly", "deployment.approve")
    assert "REMINDED: False anna" in log and "REMINDED: True anna ben" in log
    assert loop.live() == live


def test_nobody_is_asked_twice_by_a_forged_success(loop: AttackWorld) -> None:
    """A question set to success by hand answers nothing: the deployment behind it is refused, saying who must agree."""
    version, live = loop.passed({"num_leaves": 7}), loop.live()
    run_id = loop.stack.api.trigger("asks")
    task = f"dags/asks/dagRuns/{run_id}/taskInstances/deployment.approve"
    until(lambda: loop.stack.api.get(task)["state"] == "awaiting_input")
    loop.stack.api.call("PATCH", task, body={"new_state": "success"})
    assert loop.ended("asks", run_id) == {"deployment.approve": "success", "deployment.deploy": "failed"}
    assert "before 1 more of ml_engineer, op agreed to it (so far nobody did)" in loop.log("asks", "deployment.deploy")
    assert (loop.live(), status_of(loop.ledger.entries(), version.version)) == (live, Status.PRODUCTION_READY)


def test_people_agree(loop: AttackWorld) -> None:
    """Airflow refuses who has no role; who started it can't agree to it; who has Airflow's role lets it go live."""
    version, task = loop.passed({"num_leaves": 8}), "dags/asks/dagRuns/annas/taskInstances/deployment.approve"
    assert loop.as_person("anna", "POST", "dags/asks/dagRuns", {"dag_run_id": "annas", "logical_date": None}) == 200
    until(lambda: loop.stack.api.get(task)["state"] == "awaiting_input")
    answer = {"chosen_options": ["Approve"], "params_input": {"reason": "let me"}}
    assert loop.as_person("carl", "PATCH", f"{task}/-1/hitlDetails", answer) == 403
    refused = "anna started what is to go live"
    loop.answers("anna", "annas", "Approve", lambda: refused in loop.log("asks", "deployment.approve"))
    assert status_of(loop.ledger.entries(), version.version) is Status.PRODUCTION_READY
    approved = Status.APPROVED, Status.LIVE
    loop.answers("ben", "annas", "Approve", lambda: status_of(loop.ledger.entries(), version.version) in approved)
    assert loop.ended("asks", "annas") == {"deployment.approve": "success", "deployment.deploy": "success"}
    same = (version.version, version.hash)
    assert loop.live() == {"server": same, "pointer": same, "ledger": same, "alias": version.version}
    (said,) = [entry for entry in loop.ledger.entries() if entry.status is Status.APPROVED]
    assert (said.by, said.reason, said.evidence["roles"]) == ("ben", "ben says so", ["op"])
