"""What people decide about a version, entered in the ledger by a job, and what a deployment makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.sdk.exceptions import TaskAwaitingInput

from airflow_mlops_provider.exceptions import BackendError, UnknownNameError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.deployment import Approval
from airflow_mlops_provider.lifecycle.release.registry import Status, status_of
from airflow_mlops_provider.lifecycle.sections import Owners
from airflow_mlops_provider.operators import approval
from airflow_mlops_provider.operators.approval import ModelApproveVersionOperator
from tests.factories.deploy import DeployWorld
from tests.factories.ports import free_port
from tests.factories.serving import NAME

pytestmark = pytest.mark.timeout(600)
OWNERS = Owners.model_validate(
    {**dict.fromkeys(Owners.model_fields, "zoe"), "ml_engineer": "anna", "devops_engineer": "ben"}
)
TWO = Approval(roles=("ml_engineer", "devops_engineer"), people=2, four_eyes=True)


class Asked(DeployWorld):
    """A world whose versions need people."""

    approval = TWO

    def spec(self, job: str, who: str = "one", **params: Any) -> Any:
        """Return what a job is asked, with what the product says of approvals."""
        spec = super().spec(job, who, **params)
        own = {"approval": self.approval.to_json(), **({"owners": OWNERS.to_json()} if job == "approve" else {})}
        left = {name: value for name, value in spec.params.items() if name != "port" or job != "approve"}
        return spec.model_copy(update={"settings": {**spec.settings, **own}, "params": left})

    def decide(self, version: ModelVersion, **params: Any) -> Manifest:
        """Enter a decision and return the manifest."""
        spec = self.spec("approve", version=version, **params)
        self.run(spec)
        return self.told(spec)

    def agree(self, version: ModelVersion, person: str | None, **params: Any) -> str:
        """Enter that a person agrees, and return the error's message; empty if there was none."""
        failure = self.decide(version, agreed=True, **({"by": person} if person else {}), **params).failure
        return failure.message if failure else ""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A product whose versions go live once two people agreed."""
    one = Asked(tmp_path_factory.mktemp("asked"), free_port())
    yield one
    one.close()


def why_not(world: Asked, version: ModelVersion) -> str:
    """Return why a deployment is refused; empty if it is not."""
    failure = world.deploy(version).failure
    return failure.message if failure else ""


def test_two_people(world: Asked) -> None:
    """No deployment before both agreed, each once and with a role; then it is live, and both are in the ledger."""
    version = world.ready(0)
    assert "may not go live before 2 more" in why_not(world, version)
    assert "zoe may not decide; may: anna (ml_engineer), ben (devops_engineer)" in world.agree(version, "zoe")
    assert "anna started what is to go live" in world.agree(version, "anna", started_by="anna")
    assert world.agree(version, "anna", reason="looks right") == ""
    assert "anna agreed already" in world.agree(version, "anna")
    assert "before 1 more of ml_engineer, devops_engineer agreed to it (so far anna did)" in why_not(world, version)
    assert world.agree(version, "ben") == ""
    assert why_not(world, version) == ""
    assert world.truth() == version.version
    said = [(e.by, e.reason, e.evidence["roles"]) for e in world.ledger.entries() if e.status is Status.APPROVED]
    assert said == [("anna", "looks right", ["ml_engineer"]), ("ben", "no reason given", ["devops_engineer"])]


def test_a_no(world: Asked) -> None:
    """One no rejects the version for good, with who and why."""
    version = world.ready(1)
    assert world.agree(version, "anna") == ""
    told = world.decide(version, agreed=False, by="ben", reason="the board is asleep", started_by="ben")
    assert told.result and told.result.facts["status"] == "rejected"
    assert "is rejected and cannot become live" in why_not(world, version)
    assert "waits for nobody's approval" in world.agree(version, "anna")
    last = world.ledger.entries()[-1]
    assert (last.status, last.by, last.reason) == (Status.REJECTED, "ben", "the board is asleep")


def test_low_risk(world: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself a version is approved only where the gain's whole interval is what the product wants, by the record."""
    version = world.ready(1)
    assert "lets a version go live by itself only from None" in world.agree(version, None)
    monkeypatch.setattr(world, "approval", TWO.model_copy(update={"by_itself": 0.03}))
    assert "gain 0.0300 [0.0200, 0.0400]" in world.agree(version, None)
    monkeypatch.setattr(world, "approval", TWO.model_copy(update={"by_itself": 0.02}))
    assert world.agree(version, None) == ""
    assert "low risk: gain 0.0300" in world.ledger.entries()[-1].reason
    assert why_not(world, version) == ""


def test_a_role_of_airflow(world: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has it may agree, beside the owners; without it nobody may, whatever else is claimed; four eyes hold."""
    own = Approval(roles=("ml_engineer",), airflow_roles=("op",), people=2, four_eyes=True)
    monkeypatch.setattr(world, "approval", own)
    version, holders = world.ready(0), {"cleo": ["op"], "dora": ["viewer"]}
    assert "cleo may not decide; may: anna (ml_engineer)" in world.agree(version, "cleo")
    assert "dora may not decide; may: anna (ml_engineer), cleo (op)" in world.agree(version, "dora", holders=holders)
    assert "cleo started what is" in world.agree(version, "cleo", holders=holders, started_by="cleo")
    assert world.agree(version, "cleo", holders=holders) == ""
    assert "before 1 more of ml_engineer, op agreed" in why_not(world, version)
    assert world.agree(version, "anna", holders=holders) == ""
    said = [(e.by, e.evidence.get("roles")) for e in world.ledger.entries() if e.status is Status.APPROVED]
    assert said[-2:] == [("cleo", ["op"]), ("anna", ["ml_engineer"])]


def test_a_role_that_is_gone_by_the_answer(world: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked up when the question is asked and again when the answer comes: then it counts no more."""
    version, questions = world.ready(1), list[dict[str, Any]]()
    monkeypatch.setattr(approval, "upsert_hitl_detail", lambda **asked: questions.append(asked))
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "cleo:op,dora:viewer")
    own = Approval(roles=(), airflow_roles=("op",))
    task = ModelApproveVersionOperator(
        task_id="approve", product=NAME, version=version.version, approval=own, owners=OWNERS
    )
    monkeypatch.setattr(task, "artifacts", lambda: world.store)
    entered = Mock(side_effect=BackendError("far enough"))
    monkeypatch.setattr(task, "run_job", entered)
    context: Any = {"ti": SimpleNamespace(id="1"), "dag_run": SimpleNamespace(triggering_user_name=None)}
    with pytest.raises(TaskAwaitingInput) as waiting:
        task.execute(context)
    assert [user["name"] for user in questions[0]["assigned_users"]] == ["cleo"] and "cleo (op)" in questions[0]["body"]
    answer = {"chosen_options": ["Approve"], "params_input": {}, "responded_by_user": {"id": "cleo", "name": "cleo"}}
    state = dict(waiting.value.kwargs["state"])
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "cleo:viewer,dora:op")
    with pytest.raises(TaskAwaitingInput):
        task.answered(context, answer, dict(state))
    assert not entered.called and [user["name"] for user in questions[1]["assigned_users"]] == ["dora"]
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "cleo:op")
    with pytest.raises(TaskAwaitingInput):
        task.answered(context, answer, dict(state))
    assert entered.called and task._state["answer"]["holders"] == {"cleo": ("op",)}
    unknown = ModelApproveVersionOperator(
        task_id="asks_nobody", product=NAME, version=version.version, owners=OWNERS,
        approval=Approval(airflow_roles=("release_manager",)),
    )  # fmt: skip
    monkeypatch.setattr(unknown, "artifacts", lambda: world.store)
    with pytest.raises(UnknownNameError, match="'release_manager'; known: admin, op, user, viewer"):
        unknown.execute(context)


def test_an_approval_written_by_hand(world: Asked) -> None:
    """A well-made entry of an approval that nobody began stops everything, by its file's name, until it is gone."""
    version = world.ready(2)
    assert world.agree(version, "anna") == ""
    forged = world.ledger.move(
        version, Status.APPROVED, reason="", by="ben", evidence=world.ledger.entries()[-1].evidence
    )
    file = world.ledger.file(forged.sequence)
    assert f"{file} (" in why_not(world, version) and "no approval of version" in why_not(world, version)
    assert any("by ben was begun" in line for line in world.reconcile().broken)
    (world.root / file).unlink()
    assert "before 1 more" in why_not(world, version)


def test_killed_while_it_is_entered(world: Asked) -> None:
    """Wherever the job is killed, its retry ends with one approval of that person, and the ledger is trusted."""
    version = world.ready(1)
    spec = world.spec("approve", version=version, agreed=True, by="anna")
    assert world.run(spec, die_at="log") == [0]
    points = [point for point in world.points() if point.startswith(("ledger", "mirror", "built-in"))]
    for point in points[:: len(points) // 4]:
        version = world.ready(1)
        spec = world.spec("approve", version=version, agreed=True, by="anna")
        assert world.run(spec, die_at=point) == [-9]
        world.run(spec)  # the person's approval may have been entered already
        own = [e for e in world.ledger.entries() if e.version.version == version.version]
        assert [e.by for e in own if e.status is Status.APPROVED] == ["anna"], point
        assert status_of(own, version.version) is Status.APPROVED
        assert world.reconcile().passed


def test_an_answer_while_mlflow_is_down(world: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits and is handed over again; once it is entered it counts, and neither a question nor silence follows."""
    version, questions = world.ready(2), list[dict[str, Any]]()
    monkeypatch.setattr(approval, "upsert_hitl_detail", lambda **asked: questions.append(asked))
    one = Approval(within=timedelta(hours=1), remind=timedelta(minutes=30))
    task = ModelApproveVersionOperator(
        task_id="approve", product=NAME, version=version.version, approval=one, owners=OWNERS
    )
    monkeypatch.setattr(task, "artifacts", lambda: world.store)
    context: Any = {"ti": SimpleNamespace(id="1"), "dag_run": SimpleNamespace(triggering_user_name=None)}
    with pytest.raises(TaskAwaitingInput) as waiting:
        task.execute(context)
    state = dict(waiting.value.kwargs["state"])
    assert waiting.value.timeout <= timedelta(minutes=30) and "May version" in questions[0]["body"]
    answer = {"chosen_options": ["Approve"], "params_input": {}, "responded_by_user": {"id": "7", "name": "anna"}}
    with monkeypatch.context() as patch:
        patch.setattr(task, "run_job", Mock(side_effect=BackendError("MLflow does not answer")))
        with pytest.raises(TaskAwaitingInput) as waiting:
            task.answered(context, answer, dict(state))
    assert waiting.value.timeout <= timedelta(minutes=5) and len(questions) == 1
    monkeypatch.setattr(world, "approval", one)
    assert world.agree(version, "anna") == ""  # the job entered it, and could not tell MLflow
    for event in (answer, {"error": "late", "error_type": "timeout"}):
        assert task.answered(context, event, {**state, "reminded": True})["version"] == version.version
    assert len(questions) == 1
