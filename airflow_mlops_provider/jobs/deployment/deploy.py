"""Rolls the model server to a production-ready version, at once or step by step, and back if it does not do well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.jobs.deployment import candidate, rollout
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger, one_at_a_time
from airflow_mlops_provider.lifecycle.references import BuiltImage, ModelVersion
from airflow_mlops_provider.lifecycle.release import registry
from airflow_mlops_provider.lifecycle.release.approval import check_approved
from airflow_mlops_provider.lifecycle.release.deployment import Rollout
from airflow_mlops_provider.lifecycle.release.registry import (
    LedgerEntry,
    Status,
    check_move,
    last_entries,
    live_version,
    status_of,
)
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Inputs(JobInputs):
    """:param image: what the CI has built, for servers on a cluster to run from now on."""

    version: ModelVersion
    image: BuiltImage | None = None


class Params(rollout.Params):
    """:param share: of calls that a canary answers, in place of what the product says; 1: no rollout, all at once."""

    explicit: bool = False
    rollback: bool = False
    reason: str = ""
    share: float | None = Field(default=None, gt=0, le=1)


Context = JobContext[Inputs, rollout.Settings, Params]


@job(stage=Stage.DEPLOYMENT, makes="deployment", result=ModelVersion, side_effects=True, services=("cluster",))
def deploy(context: Context) -> JobResult:
    """Ask the server for the version, wait until it answers with it, then enter ``live`` and ``retired``.

    What is given only names the version: where its model lies and with which hash, the ledger says. By itself it goes
    to no older version than the live one. The parameter ``explicit`` says that a person chose the version,
    ``rollback`` that one which was retired is to come back, and ``reason`` why.

    Where a rollout is declared, and another version is live, the version becomes a candidate beside that. Each further
    run of the job looks at it once: the status of its result is ``shadow`` or ``canary`` as long as it is to be called
    again, then ``live`` or ``rejected``.

    :raises DeploymentError: if the server did not take it; the version that served before still serves.
    :raises IntegrityError: if the ledger, or what the version's promotion rests on, is not what it was.
    :raises TransitionError: if the version is another model than the registered one, or may not go live: by its status,
        or because people must agree first.
    """
    with one_at_a_time(context):
        ledger = CheckedLedger(context)
        entries = ledger.trusted()
        version, live = ledger.registered_as(entries, context.inputs.version), live_version(entries)
        if live and version.version < live.version and not context.params.explicit:
            context.log.info("version %d is live and newer than %d: nothing to do", live.version, version.version)
            return _result(live, Status.LIVE, "")
        plan = _plan(context, live, version)
        if rejected := _rejected(context, entries, version, live):
            return _result(version, Status.REJECTED, "", reason=rejected, **_show(context, ledger))
        _prepare(context, ledger, entries, version)
        if plan and live:
            last = last_entries(entries)[version.version]
            going = last.status in (Status.SHADOW, Status.CANARY)
            begun = None if going else candidate.begin(context, ledger, version, live, plan)
            return _going(context, begun or candidate.look(context, ledger, last, live), **_show(context, ledger))
        url = rollout.roll(context, version, live)
        entry = rollout.enter(context, ledger, version, url)
        context.log.info("version %d is live at %s", version.version, url)
        return _result(version, entry.status, url, **_show(context, ledger))


def _plan(context: Context, live: ModelVersion | None, version: ModelVersion) -> Rollout | None:
    """Return how a version comes to answer all calls; None for at once."""
    plan, share = context.settings.rollout, context.params.share
    if plan is None or live in (None, version) or context.params.rollback or share == 1:
        return None
    return plan.model_copy(update={"canary": share}) if share else plan


def _rejected(
    context: Context, entries: Sequence[LedgerEntry], version: ModelVersion, live: ModelVersion | None
) -> str | None:
    """Return why a rollout was ended before, by a run that perhaps could not finish; None if none was."""
    last = last_entries(entries)[version.version]
    if last.status is not Status.REJECTED or last.was not in (Status.SHADOW, Status.CANARY):
        return None
    if live:
        candidate.point(context, registry.candidate(entries), live)
    return last.reason


def _prepare(context: Context, ledger: CheckedLedger, entries: Sequence[LedgerEntry], version: ModelVersion) -> None:
    """Make sure that a version may go live, and tell MLflow that it is about to, before anything is changed."""
    status = status_of(entries, version.version)
    back = status is Status.RETIRED and context.params.rollback
    if status is not Status.LIVE and not back:
        check_move(entries, version.version, Status.LIVE)
    ledger.check_gates(entries, version)
    check_approved(entries, version.version, context.settings.approval)
    ledger.announce(version.version)
    if back:
        reason = f"brought back by hand: {context.params.reason or 'nobody said why'}"
        ledger.move(version, Status.PRODUCTION_READY, reason=reason, by=context.by, evidence={"rollback": True})


def _show(context: Context, ledger: CheckedLedger) -> dict[str, str]:
    """Have MLflow show the deployment, which is done by then: if MLflow is down, maintenance does it later.

    :return: what could not be shown, as a fact for the reference.
    """
    try:
        ledger.show()
    except BackendError as error:
        context.log.warning("MLflow could not be told; the next maintenance run does it: %s", error)
        return {"not_shown": str(error)[:300]}
    return {}


def _going(context: Context, entry: LedgerEntry, **further: Any) -> JobResult:
    """Return a candidate with its phase: what is needed to wait for the next look."""
    phase = {"plan": entry.evidence.get("plan"), "began": entry.at.isoformat(), "first": entry.evidence.get("began")}
    server = rollout.model_server(context)
    if entry.status in (Status.SHADOW, Status.CANARY):
        own = {replica.name: replica.address for replica in server.observe() if replica.address}
        further |= {"rollout": phase, "replicas": own}
    return _result(entry.version, entry.status, server.address, reason=entry.reason, **further)


def _result(version: ModelVersion, status: Status, url: str, **further: Any) -> JobResult:
    facts = {**version.facts, "status": status.value, "url": url, **further}
    return JobResult(facts=facts, version=version.version, of=version)
