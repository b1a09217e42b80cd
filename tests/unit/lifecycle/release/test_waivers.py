"""Waivers: what a person may waive, what that changes, and when it ends."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.exceptions import TransitionError, UnknownNameError
from airflow_mlops_provider.lifecycle.release.gates import Decision, GateResult
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status, last_entries, live_version
from airflow_mlops_provider.lifecycle.release.waivers import (
    Waiver,
    check_waivable,
    ended,
    evidence_of,
    gates_in_short,
    results_of,
    waived,
    waivers_of,
)
from tests.factories.ledger import version

TODAY, LATER, BEFORE = date(2026, 11, 27), date(2026, 12, 31), date(2026, 11, 26)


def result(name: str, outcome: str = "failed") -> GateResult:
    """Return what a gate said."""
    return GateResult(name=name, outcome=outcome, figure=0.1, limit=0.2, reason=f"{name} is 0.1")


def decided(*results: GateResult) -> Decision:
    """Return a decision of some gates."""
    failed = tuple(one.reason for one in results if one.outcome == "failed")
    return Decision(passed=not failed, reasons=failed or ("good",), results=results)


def entry(sequence: int, status: Status, was: Status | None, **evidence: Any) -> LedgerEntry:
    """Return an entry of the only version."""
    said = {"reason": "r", "by": "ada", "at": datetime(2026, 11, 27, tzinfo=UTC), "evidence": evidence}
    return LedgerEntry(sequence=sequence, version=version(1), status=status, was=was, **said)


def waiver(gate: str, until: date = LATER) -> Waiver:
    """Return that Ada waives a gate."""
    return Waiver(gate=gate, reason="LGA is closed", until=until, by="ada")


def rejected(*waivers: Waiver) -> list[LedgerEntry]:
    """Return the ledger of a version that failed by its slices and does not load, and what was waived of it."""
    gates = evidence_of(decided(result("baseline", "passed"), result("slices"), result("loads")))
    entries = [entry(0, Status.REGISTERED, None), entry(1, Status.REJECTED, Status.REGISTERED, **gates)]
    notes = [entry(2, Status.REJECTED, Status.REJECTED, waiver=one.to_json()) for one in waivers]
    return [*entries, *notes]


def test_a_failed_gate_that_was_waived_stands_in_nobodys_way() -> None:
    """It is said who waived it, until when and why; another one that failed still stops the version."""
    granted = waivers_of(rejected(waiver("slices")), 1, TODAY)
    decision = waived(decided(result("slices"), result("metric", "passed")), granted)
    assert decision.passed
    assert decision.reasons == ("slices: slices is 0.1; waived by ada until 2026-12-31: LGA is closed",)
    assert [one.outcome for one in decision.results] == ["waived", "passed"]
    other = waived(decided(result("slices"), result("metric")), granted)
    assert not other.passed
    assert other.reasons[0] == "metric is 0.1"
    untouched = decided(result("metric"))
    assert waived(untouched, granted) is untouched


@pytest.mark.parametrize(
    ("gate", "error", "said"),
    [
        ("slice", UnknownNameError, "unknown gate 'slice'.*calibration.*slices"),
        ("loads", TransitionError, "'loads' can't be waived; these can: baseline"),
        ("evidence", TransitionError, "can't be waived"),
        ("baseline", TransitionError, "'baseline' of version 1 is passed: .* not passed: loads, slices"),
        ("latency", TransitionError, "'latency' of version 1 is not judged"),
    ],
)
def test_what_there_is_nothing_to_waive_of_is_refused(gate: str, error: type[Exception], said: str) -> None:
    """A name that there is not, what nobody may waive, and what was not failed; with what there is."""
    with pytest.raises(error, match=said):
        check_waivable(rejected(), 1, gate)
    check_waivable(rejected(), 1, "slices")


def test_what_may_never_be_waived_is_not_though_an_entry_says_so() -> None:
    """An entry from elsewhere for such a gate counts for nothing."""
    assert waivers_of(rejected(waiver("loads"), waiver("evidence")), 1, TODAY) == {}


def test_a_waiver_ends() -> None:
    """It holds on its last day, and not on the next; a later one takes its place."""
    entries = rejected(waiver("slices", TODAY))
    assert set(waivers_of(entries, 1, TODAY)) == {"slices"}
    assert waivers_of(rejected(waiver("slices", BEFORE)), 1, TODAY) == {}
    ready = evidence_of(waived(decided(result("slices")), waivers_of(entries, 1, TODAY)))
    entries.append(entry(3, Status.PRODUCTION_READY, Status.STAGING, **ready))
    assert ended(entries, 1, TODAY) is None
    assert "has ended: slices" in str(ended(entries, 1, LATER))
    entries.append(entry(4, Status.PRODUCTION_READY, Status.PRODUCTION_READY, waiver=waiver("slices").to_json()))
    assert ended(entries, 1, LATER) is None
    assert ended(rejected(), 1, TODAY) is None


def test_a_waiver_moves_nothing() -> None:
    """It is no move: where the version is, and which one is live, is as before."""
    live = [entry(0, Status.REGISTERED, None), entry(1, Status.LIVE, Status.PRODUCTION_READY)]
    noted = entry(2, Status.LIVE, Status.LIVE, waiver=waiver("slices").to_json())
    assert (noted.moves, noted.became, live[1].became) == (False, "waived slices", "live")
    assert last_entries([*live, noted]) == last_entries(live)
    assert live_version([*live, noted]) == live_version(live)


def test_the_last_word_of_each_gate_counts() -> None:
    """Entries of releases that kept no gates say nothing, and fields of newer ones are no reason to fail."""
    assert results_of([entry(0, Status.REJECTED, None, report="r", hash="h")], 1) == {}
    newer = {**result("slices", "passed").to_json(), "unit": "share"}
    entries = [*rejected(), entry(2, Status.STAGING, Status.REJECTED, gates=[newer])]
    assert {name: one.outcome for name, one in results_of(entries, 1).items()} == {
        "baseline": "passed", "slices": "passed", "loads": "failed",
    }  # fmt: skip
    assert gates_in_short(rejected()) == "failed: slices, loads"
    assert gates_in_short(entries[:1]) == ""


@pytest.mark.parametrize("field", ["reason", "by", "gate"])
def test_a_waiver_names_a_person_and_a_reason(field: str) -> None:
    """Blanks are none."""
    with pytest.raises(ValidationError, match=field):
        Waiver.model_validate({**waiver("slices").to_json(), field: "  "})
