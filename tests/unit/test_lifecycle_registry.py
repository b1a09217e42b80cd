"""Where a model version may go, and who is live."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.registry import LedgerEntry, Status, check_move, live_version, status_of

ALLOWED = {
    (None, "registered"),
    ("registered", "staging"),
    ("registered", "rejected"),
    ("staging", "production-ready"),
    ("staging", "rejected"),
    ("production-ready", "live"),
    ("production-ready", "rejected"),
    ("production-ready", "retired"),
    ("live", "retired"),
    ("retired", "production-ready"),
}
PAIRS = [(was, to) for was in (None, *Status) for to in Status]


def version(number: int) -> ModelVersion:
    """Return a version's reference."""
    return ModelVersion(uri=f"file:///m/{number}", hash=str(number) * 64, name="shop", version=number)


def ledger(*moves: tuple[int, Status]) -> list[LedgerEntry]:
    """Return the entries that some moves leave, unchecked."""
    return [
        LedgerEntry(
            sequence=place,
            version=version(number),
            status=status,
            was=None,
            reason="",
            by="",
            at=datetime(2024, 1, 1, tzinfo=UTC),
        )
        for place, (number, status) in enumerate(moves)
    ]


def test_every_move_is_either_allowed_or_refused() -> None:
    """The allowed moves are these ten, of all there could be."""
    allowed = set()
    for was, to in PAIRS:
        try:
            check_move(ledger((1, was)) if was else [], 1, to)
        except TransitionError:
            continue
        allowed.add((was.value if was else None, to.value))
    assert allowed == ALLOWED


@pytest.mark.parametrize(("was", "to"), PAIRS, ids=str)
def test_an_answer_says_where_it_stands_and_may_go(was: Status | None, to: Status) -> None:
    """An allowed move gives the status before it; a refused one names it and every way out, and no retry helps."""
    entries = ledger((1, was), (2, Status.STAGING)) if was else ledger((2, Status.STAGING))
    stands = was.value if was else "unregistered"
    ways = [way for start, way in ALLOWED if start == (was.value if was else None)]
    if to.value in ways:
        assert check_move(entries, 1, to) is was
        return
    with pytest.raises(TransitionError) as refused:
        check_move(entries, 1, to)
    said, _, listed = str(refused.value).partition("; from there: ")
    assert said == f"version 1 is {stands} and cannot become {to.value}"
    assert sorted(listed.split(", ")) == sorted(ways or ["nowhere"])
    assert not refused.value.retryable


def test_the_newest_entry_counts() -> None:
    """A version stands where its own last entry says, whatever others did since."""
    entries = ledger((1, Status.REGISTERED), (1, Status.STAGING), (2, Status.REGISTERED))
    assert status_of(entries, 1) is Status.STAGING
    assert status_of(entries, 2) is Status.REGISTERED
    assert status_of(entries, 3) is None


def test_nobody_is_live_until_somebody_is() -> None:
    """Neither an empty ledger nor a version that is only ready has a live one."""
    assert live_version([]) is None
    assert live_version(ledger((1, Status.PRODUCTION_READY))) is None


def test_the_newer_is_meant_during_a_hand_over() -> None:
    """While two are live the one that came later answers; after the hand-over too, and after one back."""
    entries = ledger((1, Status.LIVE), (2, Status.LIVE))
    assert live_version(entries) == version(2)
    entries = ledger((1, Status.LIVE), (2, Status.LIVE), (1, Status.RETIRED))
    assert live_version(entries) == version(2)
    entries = ledger((1, Status.LIVE), (2, Status.LIVE), (1, Status.RETIRED), (1, Status.LIVE))
    assert live_version(entries) == version(1)
    entries = ledger((1, Status.LIVE), (2, Status.LIVE), (1, Status.RETIRED), (1, Status.LIVE), (2, Status.RETIRED))
    assert live_version(entries) == version(1)
    assert live_version(ledger((1, Status.LIVE), (1, Status.RETIRED))) is None
