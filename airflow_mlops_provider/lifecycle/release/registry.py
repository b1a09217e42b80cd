"""The status of a model version, how it may move, and the ledger that says how it came there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import ConfigDict

from airflow_mlops_provider.exceptions import TransitionError, UnknownNameError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.references import ModelVersion


class Status(StrEnum):
    """The status of a model version on its way to production and out of it.

    A status that only a newer release knows is kept as it is, equals none of these, and leads nowhere.
    """

    REGISTERED = "registered"
    STAGING = "staging"
    PRODUCTION_READY = "production-ready"
    APPROVED = "approved"
    SHADOW = "shadow"
    CANARY = "canary"
    LIVE = "live"
    RETIRED = "retired"
    REJECTED = "rejected"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_, unknown._value_ = "UNKNOWN", value
        return unknown


_SERVED = (Status.SHADOW, Status.CANARY, Status.LIVE)
_ENDED = (Status.REJECTED, Status.RETIRED)
#: Where a version may go. Each person who agrees makes an approval of their own.
MOVES: dict[Status | None, tuple[Status, ...]] = {
    None: (Status.REGISTERED,),
    Status.REGISTERED: (Status.STAGING, Status.REJECTED),
    Status.STAGING: (Status.PRODUCTION_READY, Status.REJECTED),
    Status.PRODUCTION_READY: (Status.APPROVED, *_SERVED, *_ENDED),
    Status.APPROVED: (Status.APPROVED, *_SERVED, *_ENDED),
    Status.SHADOW: (Status.CANARY, Status.LIVE, *_ENDED),
    Status.CANARY: (Status.LIVE, *_ENDED),
    Status.LIVE: (Status.RETIRED,),
    Status.RETIRED: (Status.PRODUCTION_READY,),
    Status.REJECTED: (Status.STAGING,),  # judged again, where a person waived what had failed
}
#: What waits for its deployment, and what is on its way to production.
READY = (Status.PRODUCTION_READY, Status.APPROVED)
CHALLENGING = (Status.REGISTERED, Status.STAGING, *READY, Status.SHADOW, Status.CANARY)


#: In the evidence of an entry that moves nothing: the waiver that it keeps.
WAIVER = "waiver"


class LedgerEntry(Frozen):
    """One move of one model version, and why. Fields of a newer release are kept.

    :param sequence: the entry's number in the product's ledger, from 0 without gaps.
    :param previous: SHA-256 over all entries before this one; None in entries of releases that did not chain them.
    :param evidence: references and figures that the move rests on.
    :param by: the Airflow run, or the person, that made the move.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    sequence: int
    previous: str | None = None
    version: ModelVersion
    status: Status
    was: Status | None
    reason: str
    evidence: dict[str, Any] = {}
    by: str
    at: datetime

    @property
    def moves(self) -> bool:
        """Whether it moves the version; else it keeps that a gate was waived. Each approval of a version counts."""
        return WAIVER not in self.evidence

    @property
    def became(self) -> str:
        """What happened to the version, in a word or two."""
        return self.status.value if self.moves else f"waived {self.evidence[WAIVER]['gate']}"


def status_of(entries: Sequence[LedgerEntry], version: int) -> Status | None:
    """Return a version's status after some entries; None if they don't know it."""
    entry = last_entries(entries).get(version)
    return entry.status if entry else None


def live_versions(entries: Sequence[LedgerEntry]) -> list[ModelVersion]:
    """Return the versions that are live after some entries: one, or for a moment of a handover two, the newer first."""
    live = [entry for entry in last_entries(entries).values() if entry.status is Status.LIVE]
    return [entry.version for entry in sorted(live, key=lambda entry: -entry.sequence)]


def live_version(entries: Sequence[LedgerEntry]) -> ModelVersion | None:
    """Return the version that answers in production after some entries; None if none does."""
    return next(iter(live_versions(entries)), None)


def last_entries(entries: Sequence[LedgerEntry]) -> dict[int, LedgerEntry]:
    """Return the last move of each version, by its number."""
    return {entry.version.version: entry for entry in entries if entry.moves}


def registered(entries: Sequence[LedgerEntry], version: int) -> ModelVersion:
    """Return a version as its registration entered it, the only word on its URI and hash, or an UnknownNameError."""
    known = {entry.version.version: entry.version for entry in entries if entry.status is Status.REGISTERED}
    if version not in known:
        name = entries[0].version.name if entries else "model"
        raise UnknownNameError("model version", f"{name}@{version}", (f"{name}@{number}" for number in known))
    return known[version]


def check_same(known: ModelVersion, claimed: ModelVersion) -> ModelVersion:
    """Return the registered version. :raises TransitionError: if what is claimed to be it is another model."""
    for field in ("name", "uri", "hash"):
        claim, right = getattr(claimed, field), getattr(known, field)
        if claim != right:
            raise TransitionError(
                f"version {known.version} of {known.name} is registered with {field} {right}, not {claim}; "
                "only the registered model can move on"
            )
    return known


def check_move(entries: Sequence[LedgerEntry], version: int, to: Status) -> Status | None:
    """Return a version's status. :raises TransitionError: if it may not move on to ``to``; names where it may."""
    now = status_of(entries, version)
    moves = MOVES.get(now, ())
    if to not in moves:
        allowed = ", ".join(status.value for status in moves) or "nowhere"
        status = now.value if now else "unregistered"
        if now not in MOVES:
            status += " (a status that this release does not know)"
        raise TransitionError(f"version {version} is {status} and cannot become {to.value}; from there: {allowed}")
    return now


def registry_flaw(entries: Sequence[LedgerEntry], known: Mapping[int, str]) -> str | None:
    """Say why the ledger's versions were not made in a registry; None if they were, or nothing speaks against it.

    :param known: the registry's versions by number, with the hash of each model; empty for one that was not kept.
    """
    versions = [entry.version for entry in entries if entry.status is Status.REGISTERED]
    if not versions or versions[-1].version in known:
        other = (version for version in versions if known.get(version.version, "") not in ("", version.hash))
        return next((f"its version {version.version} is another model" for version in other), None)
    return f"it has no version {versions[-1].version}"


def newest_ready(entries: Sequence[LedgerEntry]) -> ModelVersion | None:
    """Return the newest version that waits for its deployment and is newer than the live one; None if none is."""
    newest = _newest(entries, READY)
    return None if newest is None else registered(entries, newest)


def served_before(entries: Sequence[LedgerEntry]) -> ModelVersion:
    """Return the version to which a rollback goes: of those that were live once, the last that was retired.

    :raises TransitionError: if none was.
    """
    last = last_entries(entries)
    retired = [entry for entry in last.values() if entry.status is Status.RETIRED and entry.was is Status.LIVE]
    if not retired:
        raise TransitionError("no version was live before the one that is: there is nothing to go back to")
    return registered(entries, max(retired, key=lambda entry: entry.sequence).version.version)


def may_serve(entries: Sequence[LedgerEntry], wanted: ModelVersion) -> ModelVersion:
    """Return the registered version that a server is to load.

    :raises UnknownNameError, TransitionError: if it was never registered, as another model, or isn't meant to serve.
    """
    version = check_same(registered(entries, wanted.version), wanted)
    status = last_entries(entries)[wanted.version].status
    if status not in (*READY, *_SERVED):
        raise TransitionError(
            f"version {wanted.version} of {wanted.name} is {status.value}: "
            "only one that passed the gates may serve; a retired one comes back by a rollback"
        )
    return version


def candidate(entries: Sequence[LedgerEntry]) -> LedgerEntry | None:
    """Return the entry by which a version is in shadow or a canary: the last one, of which there should be no more."""
    last = [entry for entry in last_entries(entries).values() if entry.status in (Status.SHADOW, Status.CANARY)]
    return max(last, key=lambda entry: entry.sequence, default=None)


def may_be_compared(entries: Sequence[LedgerEntry], wanted: ModelVersion, status: Status) -> ModelVersion:
    """Return the registered version that a server is to load beside the live one.

    :raises UnknownNameError, TransitionError: if it was never registered, as another model, or has another status.
    """
    version, now = check_same(registered(entries, wanted.version), wanted), status_of(entries, wanted.version)
    if now is not status:
        raise TransitionError(f"version {version.version} of {version.name} is {now}, and not {status}")
    return version


def aliases(entries: Sequence[LedgerEntry]) -> dict[str, int | None]:
    """Return which version the registry should show as ``champion`` and as ``challenger``; None where none is."""
    live = live_version(entries)
    return {"champion": live.version if live else None, "challenger": _newest(entries, CHALLENGING)}


def _newest(entries: Sequence[LedgerEntry], statuses: Sequence[Status]) -> int | None:
    live = live_version(entries)
    newer = (number for number in last_entries(entries) if live is None or number > live.version)
    return max((number for number in newer if status_of(entries, number) in statuses), default=None)
