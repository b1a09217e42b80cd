"""A gate that a person waived for one version: by whom, why, and until when; and what that makes of a decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any

from pydantic import StringConstraints

from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.lifecycle.frozen import Frozen, only_known
from airflow_mlops_provider.lifecycle.release.declared import NAMES, NEVER_WAIVED
from airflow_mlops_provider.lifecycle.release.gates import Decision, GateResult
from airflow_mlops_provider.lifecycle.release.registry import WAIVER, LedgerEntry

#: Where an entry of the ledger keeps a waiver, and what the gates said.
GATES = "gates"
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Waiver(Frozen):
    """That a version may go on although a gate failed.

    :param until: the last day on which that holds. :param by: the person who answers for it.
    """

    gate: Said
    reason: Said
    until: date
    by: Said

    def __str__(self) -> str:
        return f"waived by {self.by} until {self.until}: {self.reason}"


def results_of(entries: Iterable[LedgerEntry], version: int) -> dict[str, GateResult]:
    """Return what each gate said last of a version; nothing of entries of releases that did not keep it."""
    own = (entry.evidence.get(GATES, ()) for entry in entries if entry.version.version == version)
    results = (GateResult.model_validate(part, extra="ignore") for parts in own for part in parts)
    return {result.name: result for result in results}


def waivers_of(entries: Iterable[LedgerEntry], version: int, today: date) -> dict[str, Waiver]:
    """Return what is waived of a version today, by gate; of several of a gate the last."""
    own = [entry.evidence for entry in entries if entry.version.version == version and not entry.moves]
    waivers = [Waiver.model_validate(evidence[WAIVER], extra="ignore") for evidence in own if WAIVER in evidence]
    return {waiver.gate: waiver for waiver in waivers if waiver.until >= today and waiver.gate not in NEVER_WAIVED}


def waived(decision: Decision, waivers: Mapping[str, Waiver]) -> Decision:
    """Return a decision in which failed gates that were waived stand in nobody's way, and say who waived them."""
    results = tuple(
        result.model_copy(update={"outcome": "waived", "reason": f"{result.reason}; {waivers[result.name]}"})
        if result.outcome == "failed" and result.name in waivers
        else result
        for result in decision.results
    )
    taken = tuple(f"{result.name}: {result.reason}" for result in results if result.outcome == "waived")
    if not taken:
        return decision
    failed = tuple(result.reason for result in results if result.outcome == "failed")
    return Decision(passed=not failed, reasons=(*failed, *taken), results=results)


def check_waivable(entries: Sequence[LedgerEntry], version: int, gate: str) -> None:
    """Make sure that there is something to waive.

    :raises UnknownNameError: for a gate that there is not; lists the known ones.
    :raises TransitionError: for one that nobody may waive, or that the version did not fail.
    """
    only_known("gate", [gate], NAMES)
    if gate in NEVER_WAIVED:
        raise TransitionError(f"the gate {gate!r} can't be waived; these can: {_named(set(NAMES) - {*NEVER_WAIVED})}")
    results = results_of(entries, version)
    missed = {name for name, result in results.items() if result.outcome in ("failed", "waived")}
    if gate not in missed:
        said = results[gate].outcome if gate in results else "not judged"
        raise TransitionError(
            f"the gate {gate!r} of version {version} is {said}: there is nothing to waive; not passed: {_named(missed)}"
        )


def ended(entries: Sequence[LedgerEntry], version: int, today: date) -> str | None:
    """Say which waivers that a version was promoted by have ended; None if all hold."""
    relied = {name for name, result in results_of(entries, version).items() if result.outcome == "waived"}
    lapsed = sorted(relied - set(waivers_of(entries, version, today)))
    if not lapsed:
        return None
    return (
        f"what was waived of it has ended: {_named(lapsed)}. A person may waive it again (airflow mlops waive), or "
        "another version takes its place"
    )


def evidence_of(decision: Decision) -> dict[str, Any]:
    """Return what an entry of the ledger keeps of a decision."""
    return {GATES: [result.to_json() for result in decision.results]} if decision.results else {}


def gates_in_short(entries: Iterable[LedgerEntry]) -> str:
    """Return which gates some entries say were failed or waived; empty if none was."""
    parts = [part for entry in entries for part in entry.evidence.get(GATES, ())]
    by = {outcome: [part["name"] for part in parts if part["outcome"] == outcome] for outcome in ("failed", "waived")}
    return "; ".join(f"{outcome}: {', '.join(names)}" for outcome, names in by.items() if names)


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
