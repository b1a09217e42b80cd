"""Rolls the model server to a production-ready version, and back if it does not take it."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.jobs.deployment import rollout
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger, one_at_a_time
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.approval import check_approved
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status, check_move, live_version, status_of
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Inputs(JobInputs):
    version: ModelVersion


class Params(rollout.Params):
    explicit: bool = False
    rollback: bool = False
    reason: str = ""


Context = JobContext[Inputs, rollout.Settings, Params]


@job(stage=Stage.DEPLOYMENT, makes="deployment", result=ModelVersion, side_effects=True)
def deploy(context: Context) -> JobResult:
    """Ask the server for the version, wait until it answers with it, then enter ``live`` and ``retired``.

    What is given only names the version: where its model lies and with which hash, the ledger says. By itself it goes
    to no older version than the live one. The parameter ``explicit`` says that a person chose the version,
    ``rollback`` that one which was retired is to come back, and ``reason`` why.

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
        _prepare(context, ledger, entries, version)
        url = rollout.roll(context, version, live)
        entry = rollout.enter(context, ledger, version, url)
        context.log.info("version %d is live at %s", version.version, url)
        return _result(version, entry.status, url, **_show(context, ledger))


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


def _result(version: ModelVersion, status: Status, url: str, **further: str) -> JobResult:
    facts = {**version.facts, "status": status.value, "url": url, **further}
    return JobResult(facts=facts, version=version.version, of=version)
