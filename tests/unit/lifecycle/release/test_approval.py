"""Who may agree that a version goes live, and when enough people did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.approval import check_approved, low_risk, missing, refusal
from airflow_mlops_provider.lifecycle.release.deployment import Approval
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate, Evaluation
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status
from airflow_mlops_provider.lifecycle.sections import Owners

OWNERS = Owners.model_validate(
    {**dict.fromkeys(Owners.model_fields, "zoe"), "ml_engineer": "anna", "devops_engineer": "ben"}
)
TWO = Approval(roles=("ml_engineer", "devops_engineer"), people=2, four_eyes=True)
GATES = (Status.REGISTERED, {}), (Status.PRODUCTION_READY, {})


def ledger(*moves: tuple[Status, dict[str, Any]] | str) -> list[LedgerEntry]:
    """Return the entries of a version; a name alone is an approval by that person."""
    entries = []
    for place, move in enumerate(moves):
        status, evidence = (Status.APPROVED, {}) if isinstance(move, str) else move
        entries.append(
            LedgerEntry(
                sequence=place,
                version=ModelVersion(uri="file:///m", hash="1" * 64, name="shop", version=1),
                status=status,
                was=None,
                reason="",
                evidence=evidence,
                by=move if isinstance(move, str) else "a run",
                at=datetime(2024, 1, 1, tzinfo=UTC),
            )
        )
    return entries


def refused(entries: list[LedgerEntry], person: str, *, started_by: str | None = None, agrees: bool = True) -> str:
    """Return why an answer does not count; empty if it does."""
    return refusal(entries, 1, TWO, OWNERS, person=person, started_by=started_by, agrees=agrees) or ""


@pytest.mark.parametrize(
    ("moves", "left"),
    [
        ((), 2),
        (("anna",), 1),
        (("anna", "anna"), 1),
        (("anna", "ben"), 0),
        (("anna", "ben", (Status.REGISTERED, {}), (Status.PRODUCTION_READY, {})), 2),
        (((Status.APPROVED, {"by_itself": True}),), 0),
        (((Status.LIVE, {}), (Status.RETIRED, {}), (Status.PRODUCTION_READY, {"rollback": True})), 0),
    ],
    ids=["nobody", "one", "one twice", "both", "gates anew", "low risk", "was live"],
)
def test_as_many_people_as_declared(moves: tuple[Any, ...], left: int) -> None:
    """Different people count, since the version last passed the gates; what was live once may come back."""
    entries = ledger(*GATES, *moves)
    assert missing(entries, 1, TWO) == left
    if left:
        with pytest.raises(TransitionError, match=f"version 1 may not go live before {left} more of ml_engineer"):
            check_approved(entries, 1, TWO)
    else:
        check_approved(entries, 1, TWO)
    check_approved(entries, 1, None)


@pytest.mark.parametrize(
    ("fields", "moves", "low", "why"),
    [
        ({}, (), 0.5, None),
        ({"first_by_itself": True}, (), None, "low risk: no version was ever live"),
        ({"first_by_itself": True}, ((Status.LIVE, {}), (Status.RETIRED, {})), None, None),
        ({"by_itself": 0.01}, (), None, None),
        ({"by_itself": 0.01}, (), 0.009, None),
        ({"by_itself": 0.01}, (), 0.01, "low risk: gain 0.0200 [0.0100, 0.0300] over champion v1 is at least 0.01"),
    ],
)
def test_a_low_risk_needs_nobody(fields: dict[str, Any], moves: tuple[Any, ...], low: float | None, why: Any) -> None:
    """By the product's own rule alone: the first of all, or a gain whose whole interval is large enough."""
    one = Estimate(value=0.8, low=0.8, high=0.8)
    gain = {} if low is None else {"champion": one, "gain": Estimate(value=0.02, low=low, high=0.03)}
    evaluation = Evaluation(
        metric="roc_auc", window="June", rows=9, challenger=one, baseline=one, champion_version=1, **gain
    )
    said = low_risk(ledger(*GATES, *moves), evaluation, Approval(**fields))
    assert said == why or (why and said and said.startswith(why))


def test_who_may_decide() -> None:
    """Only people of the roles, none twice, and nobody agrees to what they started; all of them may say no."""
    fresh = ledger(*GATES)
    assert not refused(fresh, "anna")
    assert "zoe may not decide; may: anna (ml_engineer), ben (devops_engineer)" in refused(fresh, "zoe")
    assert "nobody may not decide" in refused(fresh, "")
    assert "anna agreed already" in refused(ledger(*GATES, "anna"), "anna")
    assert "anna started what is to go live" in refused(fresh, "anna", started_by="anna")
    trained = ledger((Status.REGISTERED, {"started_by": "ben"}), GATES[1])
    assert "ben started what is to go live" in refused(trained, "ben")
    assert not refused(trained, "ben", agrees=False)
    assert not refused(fresh, "anna", started_by="anna", agrees=False)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"people": 2}, "its roles are anna alone"),
        ({"roles": ("ml_engineer", "data_engineer", "data_scientist"), "people": 3}, "are anna, zoe alone"),
        ({"remind": timedelta(days=4)}, "comes after its end"),
    ],
)
def test_an_approval_that_cannot_be(fields: dict[str, Any], why: str) -> None:
    """A declaration by which nothing could ever be approved is refused, saying why."""
    with pytest.raises(ValueError, match=why):
        Approval(**fields).check(OWNERS)
    with pytest.raises(ValueError, match=r"say in business\.owners"):
        Approval().check(None)


def test_an_unknown_role_lists_the_known_ones() -> None:
    """A role that the paper does not have is refused with those it has."""
    with pytest.raises(ValueError, match=r"unknown role 'boss'; known: .*ml_engineer"):
        Approval(roles=("boss",))


def test_several_roles_of_one_person() -> None:
    """A person of two roles is one person, with both."""
    approval = Approval(roles=("data_engineer",), escalate=("data_scientist", "ml_engineer"))
    assert approval.people_of(OWNERS) == {"zoe": ("data_engineer", "data_scientist"), "anna": ("ml_engineer",)}
