"""A run of the team's CI: begun once whatever happens, waited for deferred, and what became of it; over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_mlops_provider.backends.source import web_api
from airflow_mlops_provider.backends.source.ci import base
from airflow_mlops_provider.exceptions import BackendError, CIRunError, ConfigurationError
from airflow_mlops_provider.extensions import CI_SYSTEMS
from airflow_mlops_provider.hooks.ci import CIHook
from airflow_mlops_provider.lifecycle.release.build import Build
from airflow_mlops_provider.operators.deployment import CIRunOperator
from airflow_mlops_provider.storage.artifacts import FolderStore, content_hash
from airflow_mlops_provider.triggers.ci import CIRunTrigger
from tests.factories.ci import BILL, COMMIT, IMAGE, CIWorld
from tests.factories.waiting import Store, fired, waits

BUSY = (429, {"message": "slow down"}, {"Retry-After": "7"})
BROKEN = (503, {"message": "Service Unavailable"}, {})


@pytest.fixture(params=CI_SYSTEMS.builtin)
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CIWorld]:
    """A host of each kind, to which the connection ``build`` leads, and an artifact root; nothing pauses for long."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path / "root"))
    with CIWorld(request.param) as host:
        monkeypatch.setenv("AIRFLOW_CONN_BUILD", json.dumps(host.connection()))
        monkeypatch.setattr(base, "PAUSE", 0.1)
        yield host


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited between two tries of a request."""
    kept: list[float] = []
    monkeypatch.setattr(web_api, "time", SimpleNamespace(sleep=kept.append))
    return kept


def context(store: Store | None = None, run_id: str = "today") -> Any:
    """Return what a try of the task is given."""
    ti = SimpleNamespace(
        dag_id="deliver", run_id=run_id, task_id="build", map_index=-1, try_number=1, start_date=datetime.now(UTC)
    )
    return {"ti": ti, "task_state_store": Store() if store is None else store}


def operator(**given: Any) -> CIRunOperator:
    """Return the operator as a new process has it."""
    return CIRunOperator(task_id="build", conn_id="build", **{"deferrable": True, "poke_interval": 0.05, **given})


def event(trigger: Any, change: Callable[[], object]) -> dict[str, Any]:
    """Return what a trigger fires once something has changed."""
    (payload,) = fired(trigger, lambda: change() and None, lambda: None)
    return dict(payload)


def test_a_green_run_is_waited_for_deferred(world: CIWorld) -> None:
    """It is told the inputs and a key, and hands on page, commit and image."""
    given = context()
    trigger = waits(operator(inputs={"reason": "drift"}), given)
    assert isinstance(trigger, CIRunTrigger)
    run = world.runs[0]
    assert run.inputs["reason"] == "drift"
    assert trigger.key in run.inputs.values() and trigger.key.startswith("mlops-")
    result = operator(inputs={"reason": "drift"}).resume(given, event(trigger, world.end))
    assert result["url"].startswith(world.url) and str(run.id) in result["url"]
    assert (result["run"], result["commit"], result["image"]) == (str(run.id), COMMIT, IMAGE)


def test_what_was_built_is_kept_as_a_record(world: CIWorld, tmp_path: Path) -> None:
    """Image, commit and page, with the image's bill of materials, named by their hash; the same for a retry."""
    world.ends = True
    built = operator(deferrable=False).execute(context())["built"]
    assert operator(deferrable=False).execute(context())["built"] == built
    store = FolderStore(tmp_path / "root")
    assert built == {
        "kind": "image",
        "uri": f"{store.uri}/_builds/{built['hash'][:32]}",
        "hash": built["hash"],
        "facts": {},
    }
    folder = store.root / "_builds" / built["hash"][:32]
    assert content_hash(folder) == built["hash"]
    build = Build.from_file((folder / "build.json").read_bytes())
    assert (build.image, build.commit) == (IMAGE, COMMIT) and build.run.startswith(world.url)
    assert (folder / "sbom.cdx.json").read_bytes() == BILL


def test_a_bill_may_lack_and_must_be_one(world: CIWorld, tmp_path: Path) -> None:
    """A workflow of before leaves none; what is no bill of materials is not taken for one."""
    waits(operator(), context())
    world.end().bill = None
    assert "sbom" not in str([*Path(tmp_path, "root").rglob("*")])
    built = operator(deferrable=False).execute(context())["built"]
    assert [path.name for path in Path(built["uri"].removeprefix("file://")).iterdir()] == ["build.json"]
    world.runs[-1].bill = b"<html>sign in"
    with pytest.raises(AirflowFailException, match=r"left a sbom\.cdx\.json that is no bill"):
        operator(deferrable=False).execute(context())


def test_without_a_triggerer_it_waits_in_the_worker(world: CIWorld) -> None:
    """The same answer, and still one run."""
    asked = operator(deferrable=False)
    asked.on_kill()  # nothing has begun
    world.ends = True
    assert asked.execute(context())["image"] == IMAGE
    assert len(world.runs) == 1


def test_a_red_run_names_what_failed(world: CIWorld) -> None:
    """Job or stage, and the page; a retry begins another, once this was reported."""
    store = Store()
    trigger = waits(operator(), context(store))
    ended = event(trigger, lambda: world.end(green=False))
    with pytest.raises(CIRunError, match=r"(?i)is red .*(job|stage) .*model.*http://127"):
        operator().resume(context(store), ended)
    waits(operator(), context(store))
    assert len(world.runs) == 2


def test_a_killed_task_finds_its_run_again(world: CIWorld) -> None:
    """Killed at once, later, after its end, or with its store lost; another run of the DAG begins another."""
    first = waits(operator(), context())
    again = waits(operator(), context())
    assert (again.key, len(world.runs)) == (first.key, 1)
    world.forgets = True
    run = world.end()
    assert operator().execute(context())["run"] == str(run.id)
    assert len(world.runs) == 1
    waits(operator(), context(run_id="tomorrow"))
    assert len(world.runs) == 2


def test_a_start_without_an_answer_is_looked_for(world: CIWorld, pauses: list[float]) -> None:
    """The host began it and answered 502: it is found, and not begun twice."""
    world.drops, world.unseen = True, 1
    waits(operator(), context())
    assert len(world.runs) == 1


def test_a_run_with_many_others_is_found(world: CIWorld) -> None:
    """On another page of the list; of GitLab, whose pipelines are asked for their variables, among the newest."""
    trigger = waits(operator(), context())
    for number in range(10 if world.kind == "gitlab" else 130):
        world.begin("main", {"MLOPS_KEY": str(number)}).queued = False
    if world.kind == "jenkins":  # lists the newest hundred builds
        del world.runs[80:]
    assert waits(operator(), context()).run_id == trigger.run_id


def test_a_busy_host_is_asked_again(world: CIWorld, pauses: list[float]) -> None:
    """As late as it wants, and no more than three times; then a retry of the task helps."""
    world.fails = [BUSY, BROKEN]
    waits(operator(), context())
    assert pauses == [7.0, 1.0]
    world.fails = [BROKEN] * 3
    with pytest.raises(BackendError, match="a retry may help"):
        operator().execute(context(run_id="tomorrow"))
    assert len(world.runs) == 1


def test_the_trigger_outlives_a_host_that_is_down(world: CIWorld, pauses: list[float]) -> None:
    """It goes on looking; what no waiting mends ends a deferral, and so does the event that the task waits for."""
    trigger = waits(operator(), context())
    trigger._task_instance = SimpleNamespace()  # a deferred task's
    world.fails = [BROKEN] * 6
    looks = lambda: None, lambda: None, lambda: world.end() and None, lambda: None, lambda: world.end() and None
    assert [event["state"] for event in fired(trigger, *looks)] == ["green"]


def test_stopping_the_task_cancels_the_run(world: CIWorld) -> None:
    """From the worker, and from the triggerer; the next try begins another."""
    task = operator()
    with pytest.raises(TaskDeferred):
        task.execute(context())
    task.on_kill()
    assert world.runs[0].end
    trigger = waits(operator(), context())
    assert len(world.runs) == 2
    asyncio.run(trigger.on_kill())
    assert world.runs[1].end
    with pytest.raises(CIRunError, match="is cancelled"):
        operator().resume(context(), {"run": trigger.run_id, "state": "cancelled"})


def test_what_no_retry_mends_is_final(world: CIWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong token; and on GitHub a workflow that is not called after its key."""
    monkeypatch.setenv("AIRFLOW_CONN_BUILD", json.dumps(world.connection("wrong-secret")))
    with pytest.raises(AirflowFailException, match="give a token that may") as refused:
        operator().execute(context())
    assert "wrong-secret" not in str(refused.value)
    if world.kind == "github":
        monkeypatch.setenv("AIRFLOW_CONN_BUILD", json.dumps(world.connection()))
        monkeypatch.setattr(base, "SEEN_SECONDS", 0.2)
        world.unseen = 10**6
        with pytest.raises(AirflowFailException, match="mlops_key, as the workflow of `airflow mlops ci` does"):
            operator().execute(context())


def test_the_connection_is_tried(world: CIWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its button asks for the project; what is not filled in is named."""
    works, said = CIHook("build").test_connection()
    assert works, said
    assert "team/models is there" in said
    for field, wanted in (("project", "fill in kind"), ("kind", "fill in kind")):
        given = world.connection()
        del given["extra"][field]
        monkeypatch.setenv("AIRFLOW_CONN_BUILD", json.dumps(given))
        with pytest.raises(ConfigurationError, match=wanted):
            CIHook("build").settings()
    monkeypatch.setenv("AIRFLOW_CONN_BUILD", json.dumps({**world.connection(), "password": None}))
    with pytest.raises(ConfigurationError, match="has no token"):
        CIHook("build").settings()
