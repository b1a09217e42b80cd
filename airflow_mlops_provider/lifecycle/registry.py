"""Where a model version stands, how it may move, and the ledger that says how it came there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.references import ModelVersion


class Status(StrEnum):
    """Where a model version stands on its way to production and out of it."""

    REGISTERED = "registered"
    STAGING = "staging"
    PRODUCTION_READY = "production-ready"
    LIVE = "live"
    RETIRED = "retired"
    REJECTED = "rejected"


MOVES: dict[Status | None, tuple[Status, ...]] = {
    None: (Status.REGISTERED,),
    Status.REGISTERED: (Status.STAGING, Status.REJECTED),
    Status.STAGING: (Status.PRODUCTION_READY, Status.REJECTED),
    Status.PRODUCTION_READY: (Status.LIVE, Status.REJECTED, Status.RETIRED),
    Status.LIVE: (Status.RETIRED,),
    Status.RETIRED: (Status.LIVE,),
    Status.REJECTED: (),
}


class LedgerEntry(Frozen):
    """One move of one model version, and why.

    :param sequence: the entry's number in the product's ledger, from 0 without gaps.
    :param reason: one sentence for a person.
    :param evidence: references and figures that the move rests on.
    :param by: the Airflow run, or the person, that made the move.
    :param as_of: the moment in the product's data up to which was known; differs from ``at`` in a replay.
    """

    sequence: int
    version: ModelVersion
    status: Status
    was: Status | None
    reason: str
    evidence: dict[str, Any] = {}
    by: str
    at: datetime
    as_of: datetime | None = None


def status_of(entries: Sequence[LedgerEntry], version: int) -> Status | None:
    """Return where a version stands after some entries; None if they don't know it."""
    return next((entry.status for entry in reversed(entries) if entry.version.version == version), None)


def live_version(entries: Sequence[LedgerEntry]) -> ModelVersion | None:
    """Return the version that answers in production after some entries; None if none does.

    While one version is handed over to the next both count as live for a moment: the newer one is meant.
    """
    newest: dict[int, LedgerEntry] = {entry.version.version: entry for entry in entries}
    live = [entry for entry in newest.values() if entry.status is Status.LIVE]
    return max(live, key=lambda entry: entry.sequence).version if live else None


def check_move(entries: Sequence[LedgerEntry], version: int, to: Status) -> Status | None:
    """Return where a version stands if it may move on to ``to``.

    :raises TransitionError: if it may not; the message names the moves that are open to it.
    """
    now = status_of(entries, version)
    if to not in MOVES[now]:
        allowed = ", ".join(status.value for status in MOVES[now]) or "nowhere"
        stands = now.value if now else "unregistered"
        raise TransitionError(f"version {version} is {stands} and cannot become {to.value}; from there: {allowed}")
    return now
