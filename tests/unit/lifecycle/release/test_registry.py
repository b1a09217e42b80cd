"""Where a model version may go, and who is live."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_mlops_provider.exceptions import TransitionError, UnknownNameError
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import (
    LedgerEntry,
    Status,
    aliases,
    check_move,
    live_version,
    may_serve,
    newest_ready,
    registry_flaw,
    status_of,
)

ALLOWED = {
    (None, "registered"),
    ("registered", "staging"),
    ("registered", "rejected"),
    ("staging", "production-ready"),
    ("staging", "rejected"),
    *(
        (was, to)
        for was in ("production-ready", "approved")
        for to in ("approved", "shadow", "canary", "live", "rejected", "retired")
    ),
    *(("shadow", to) for to in ("canary", "live", "rejected", "retired")),
    *(("canary", to) for to in ("live", "rejected", "retired")),
    ("live", "retired"),
    ("retired", "production-ready"),
    ("rejected", "staging"),
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
    """The allowed moves are these, of all there could be."""
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


def test_only_what_is_to_serve_may_serve() -> None:
    """A server may load a version that passed the gates and did not end, as the very model that was registered."""
    for status in Status:
        entries = ledger((1, Status.REGISTERED), (1, status))
        if status not in (Status.REGISTERED, Status.STAGING, Status.REJECTED, Status.RETIRED):
            assert may_serve(entries, version(1)) == version(1)
        else:
            with pytest.raises(TransitionError, match=f"version 1 of shop is {status.value}: only one that"):
                may_serve(entries, version(1))
    entries = ledger((1, Status.REGISTERED), (1, Status.LIVE))
    for change in ({"hash": "0" * 64}, {"uri": "file:///m/2"}, {"name": "other"}):
        with pytest.raises(TransitionError, match="only the registered model can move on"):
            may_serve(entries, version(1).model_copy(update=change))
    with pytest.raises(UnknownNameError, match="unknown model version 'shop@2'; known: shop@1"):
        may_serve(entries, version(2))


def test_the_newest_ready_is_newer_than_the_live_one() -> None:
    """What is to be deployed next is the newest ready version, unless a newer one is live already."""
    both = ((1, Status.REGISTERED), (2, Status.REGISTERED), (1, Status.PRODUCTION_READY))
    assert newest_ready(ledger(*both)) == version(1)
    assert newest_ready(ledger(*both, (2, Status.PRODUCTION_READY))) == version(2)
    assert newest_ready(ledger(*both, (2, Status.LIVE))) is None
    assert newest_ready(ledger(*both, (2, Status.LIVE), (2, Status.RETIRED))) == version(1)
    assert newest_ready([]) is None


def test_what_the_aliases_should_show() -> None:
    """The champion is the live version; the challenger the newest one after it that is on its way."""
    assert aliases([]) == {"champion": None, "challenger": None}
    entries = ledger((1, Status.LIVE), (2, Status.REGISTERED), (3, Status.STAGING), (4, Status.REJECTED))
    assert aliases(entries) == {"champion": 1, "challenger": 3}
    assert aliases(ledger((2, Status.LIVE), (1, Status.PRODUCTION_READY))) == {"champion": 2, "challenger": None}


@pytest.mark.parametrize(
    ("known", "flaw"),
    [
        ({1: "1" * 64, 2: "2" * 64, 3: "9" * 64}, None),
        ({2: "2" * 64}, None),  # older ones may be deleted
        ({1: "", 2: ""}, None),  # made before the hash was kept there
        ({}, "it has no version 2"),
        ({1: "1" * 64}, "it has no version 2"),
        ({1: "9" * 64, 2: "2" * 64}, "its version 1 is another model"),
    ],
)
def test_another_registry_is_noticed(known: dict[int, str], flaw: str | None) -> None:
    """A registry without the ledger's newest version, or with another model under a number, is not the ledger's."""
    entries = ledger((1, Status.REGISTERED), (2, Status.REGISTERED), (2, Status.REJECTED))
    assert registry_flaw(entries, known) == flaw
    assert registry_flaw([], known) is None


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
