"""A rollout, one look at a time: the ledger says which phase it is in, the pointer follows, the judge says what next.

Nothing of it is kept elsewhere: whoever looks next, after whatever kill, goes on from the ledger.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from airflow_mlops_provider.backends.model_server import releases
from airflow_mlops_provider.backends.model_server.base import combined
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.jobs.deployment import rollout
from airflow_mlops_provider.jobs.deployment.image import IMAGE
from airflow_mlops_provider.jobs.deployment.labelled import worse
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.deployment import Rollout
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status, candidate
from airflow_mlops_provider.lifecycle.release.rollout import Action, Phase, Verdict, first_phase, judge, next_phase

#: Seconds for which a server may be silent; one of several, such as a pod that begins anew; and those that it has to
#: follow a pointer before it is judged.
SILENT, ONE_SILENT, FOLLOWS = 20.0, 60.0, 10.0


def begin(
    context: rollout.Context, ledger: CheckedLedger, version: ModelVersion, live: ModelVersion, plan: Rollout
) -> LedgerEntry:
    """Enter a version into the first phase, beside a server that is there, and point that at it."""
    server = rollout.model_server(context)
    server.prepare(releases.Release.of(live))
    if other := candidate(ledger.entries()):
        take_back(context, ledger, other, live, Verdict(Action.TAKE_BACK, f"version {version.version} takes its place"))
    evidence = {
        "url": server.address,
        "beside": live.version,
        "plan": plan.to_json(),
        **rollout.image_of(context),
        "began": datetime.now(UTC).isoformat(),
    }
    reason = f"its rollout beside version {live.version} begins"
    entry = ledger.move(version, first_phase(plan), reason=reason, by=context.by, evidence=evidence)
    point(context, entry, live)
    return entry


def look(context: rollout.Context, ledger: CheckedLedger, entry: LedgerEntry, live: ModelVersion | None) -> LedgerEntry:
    """Judge a candidate once by the plan with which it began, do what follows, and return its last entry."""
    beside, plan = entry.evidence.get("beside"), plan_of(entry)
    if live is None or beside != live.version:
        why = f"it is compared with version {beside}, which is not live any more"
        return take_back(context, ledger, entry, live, Verdict(Action.TAKE_BACK, why))
    if point(context, entry, live):
        context.log.warning("the pointer did not name version %d: it does so again", entry.version.version)
        return entry
    verdict = _verdict(context, entry, live, plan)
    context.log.info("version %d in %s: %s (%s)", entry.version.version, entry.status, verdict.action, verdict.reason)
    if verdict.action is Action.WAIT:
        return entry
    if verdict.action is Action.TAKE_BACK:
        return take_back(context, ledger, entry, live, verdict)
    following = next_phase(plan, entry.status)
    if following is Status.LIVE:
        url = rollout.roll(context, entry.version, live)
        return rollout.enter(context, ledger, entry.version, url, verdict.figures)
    evidence = {**entry.evidence, "observed": verdict.figures}
    moved = ledger.move(entry.version, following, reason=verdict.reason, by=context.by, evidence=evidence)
    point(context, moved, live)
    return moved


def take_back(
    context: rollout.Context, ledger: CheckedLedger, entry: LedgerEntry, live: ModelVersion | None, verdict: Verdict
) -> LedgerEntry:
    """Reject a candidate; from then on the ledger allows no server to call it, and the pointer names it no more."""
    context.log.error("version %d is taken back: %s", entry.version.version, verdict.reason)
    evidence = {"observed": verdict.figures, "phase": entry.status.value}
    made = ledger.move(entry.version, Status.REJECTED, reason=verdict.reason, by=context.by, evidence=evidence)
    if live:
        point(context, None, live)
        server = rollout.model_server(context)
        other_image = rollout.image_of(context).get(IMAGE) != entry.evidence.get(IMAGE)
        if server.managed and (other_image or server.state() is None):
            rollout.roll(context, live, live)  # the candidate may have ended it, or have brought an image of its own
        _wait_until_gone(context, entry.version)
    return made


def point(context: rollout.Context, entry: LedgerEntry | None, live: ModelVersion) -> bool:
    """Tell the server of the live version and a candidate as the ledger does; True if it was told of others."""
    beside = None
    if entry:
        share = plan_of(entry).canary if entry.status is Status.CANARY else 0.0
        phase = {"mode": entry.status, "share": share, "requested_at": entry.at}
        beside = releases.CandidateRelease.of(entry.version, **phase)
    server = rollout.model_server(context)
    try:
        named = server.wanted()
    except IntegrityError as error:
        context.log.warning("%s", error)
        named = None
    wanted = releases.Release.of(live, candidate=beside)
    if named and wanted.same_model(named) and named.candidate == beside:
        return False
    server.weight(wanted)
    return True


def plan_of(entry: LedgerEntry) -> Rollout:
    """Return the plan of the rollout to which an entry belongs."""
    return Rollout.model_validate(entry.evidence.get("plan", {}))


def _verdict(context: rollout.Context, entry: LedgerEntry, live: ModelVersion, plan: Rollout) -> Verdict:
    state, silent = _state(context, entry, live)
    if state is None:
        return Verdict(Action.TAKE_BACK, silent)
    if state.version != live.version:
        return Verdict(Action.WAIT, f"the server does not serve version {live.version} yet: {state.not_ready}")
    first = datetime.fromisoformat(entry.evidence.get("began", entry.at.isoformat()))
    phase = Phase(entry.status, state.waits_since(entry.at), first)
    seen = state.candidate if is_seen(state, entry.version, entry.at) else None
    return judge(plan, phase, datetime.now(UTC), seen, worse(context, entry, live, plan))


def _state(context: rollout.Context, entry: LedgerEntry, live: ModelVersion) -> tuple[ServerState | None, str]:
    """Return what all replicas say, once they have had the time to follow the pointer; else None, and who is silent."""
    server, begun = rollout.model_server(context), time.monotonic()
    while True:
        replicas, waited = server.observe(), time.monotonic() - begun
        state = combined(replicas)
        follows = state and state.version == live.version and is_seen(state, entry.version, entry.at)
        if follows or (state and waited > FOLLOWS):
            return state, ""
        silent = [one.name for one in replicas if one.state is None]
        limit = ONE_SILENT if len(silent) < len(replicas) else SILENT
        if waited > limit and not state:
            who = ", ".join(silent) or "the model server"
            return None, f"{who} {'do' if len(silent) > 1 else 'does'} not answer for {limit:.0f} s"
        time.sleep(0.2)


def _wait_until_gone(context: rollout.Context, version: ModelVersion) -> None:
    """Wait until a server has followed the pointer; one that can't be asked serves what the ledger allows."""
    server, end = rollout.model_server(context), time.monotonic() + FOLLOWS
    while beside := [
        one.name for one in server.observe() if one.state and one.state.candidate_version == version.version
    ]:
        if time.monotonic() > end:
            context.log.warning("%s still has version %d beside the live one", ", ".join(beside), version.version)
            return
        time.sleep(0.1)


def is_seen(state: ServerState, version: ModelVersion, requested_at: datetime) -> bool:
    """Say whether a server speaks of the very candidate."""
    known = state.candidate
    return bool(known and (known.version, known.requested_at) == (version.version, requested_at))
