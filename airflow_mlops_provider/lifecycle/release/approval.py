"""Who agreed that a version goes live, by the ledger's word, and who may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.lifecycle.owners import Owners
from airflow_mlops_provider.lifecycle.release.deployment import Approval
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status

#: In an approval's evidence: that the product's own rule for low risks made it.
BY_ITSELF = "by_itself"
#: In the evidence of a registration: who started the training by hand.
STARTED_BY = "started_by"


def approvals(entries: Sequence[LedgerEntry], version: int) -> list[LedgerEntry]:
    """Return the approvals of a version since it last passed the gates; a rollback needs no new ones."""
    own = [entry for entry in entries if entry.version.version == version]
    gates = [
        place
        for place, entry in enumerate(own)
        if entry.status is Status.PRODUCTION_READY and "rollback" not in entry.evidence
    ]
    return [entry for entry in own[gates[-1] if gates else 0 :] if entry.status is Status.APPROVED]


def missing(entries: Sequence[LedgerEntry], version: int, approval: Approval) -> int:
    """Return how many people must still agree that a version goes live. One that was live before comes back freely."""
    if any(entry.status is Status.LIVE and entry.version.version == version for entry in entries):
        return 0
    given = approvals(entries, version)
    if any(entry.evidence.get(BY_ITSELF) for entry in given):
        return 0
    return max(0, approval.people - len({entry.by for entry in given}))


def low_risk(entries: Sequence[LedgerEntry], evaluation: Evaluation | None, approval: Approval) -> str | None:
    """Say why a version needs nobody, by the product's own rule for low risks; None if people must agree."""
    if approval.first_by_itself and not any(entry.status is Status.LIVE for entry in entries):
        return "low risk: no version was ever live, in whose place it would come"
    least, gain = approval.by_itself, evaluation.gain if evaluation else None
    if evaluation is None or least is None or gain is None or gain.low < least:
        return None
    return f"low risk: gain {gain} over champion v{evaluation.champion_version} is at least {least}"


def check_approved(entries: Sequence[LedgerEntry], version: int, approval: Approval | None) -> None:
    """Make sure that enough people agreed to a version. :raises TransitionError: saying how many must still."""
    if approval is not None and (more := missing(entries, version, approval)):
        given = ", ".join(entry.by for entry in approvals(entries, version)) or "nobody"
        raise TransitionError(
            f"version {version} may not go live before {more} more of {', '.join(approval.all_roles)} agreed to it "
            f"(so far {given} did): answer the task 'approve' of the product's deployment, in Airflow under Required "
            "Actions"
        )


def refusal(
    entries: Sequence[LedgerEntry],
    version: int,
    approval: Approval,
    owners: Owners,
    *,
    person: str,
    started_by: str | None,
    agrees: bool,
    holders: Mapping[str, Sequence[str]] | None = None,
) -> str | None:
    """Say why a person's answer does not count; None if it does.

    :param started_by: who started this deployment by hand; the ledger says who started the training.
    :param agrees: who started something may still say no to it.
    :param holders: who has which of Airflow's roles now.
    """
    people = approval.people_of(owners, holders)
    if person not in people:
        known = ", ".join(f"{name} ({', '.join(roles)})" for name, roles in people.items())
        return f"{person or 'nobody'} may not decide; may: {known}"
    if agrees and person in {entry.by for entry in approvals(entries, version)}:
        return f"{person} agreed already, and another person must, too"
    trained = {entry.evidence.get(STARTED_BY) for entry in entries if entry.version.version == version}
    if agrees and approval.four_eyes and person in {started_by, *trained}:
        return f"{person} started what is to go live, and four eyes must see it: another person must agree"
    return None
