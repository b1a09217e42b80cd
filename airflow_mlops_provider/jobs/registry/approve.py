"""Enters who agreed that a version goes live, or that it was rejected."""

from __future__ import annotations

from typing import Annotated, Any

from airflow_mlops_provider.exceptions import ConfigurationError, TransitionError
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger, one_at_a_time
from airflow_mlops_provider.lifecycle.owners import Owners
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.approval import BY_ITSELF, low_risk, missing, refusal
from airflow_mlops_provider.lifecycle.release.deployment import Approval
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation
from airflow_mlops_provider.lifecycle.release.registry import READY, LedgerEntry, Status, last_entries, status_of
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Inputs(JobInputs):
    version: ModelVersion


class Settings(JobSettings):
    approval: Annotated[Approval | None, ProductField("deployment.approval")] = None
    owners: Annotated[Owners | None, ProductField("business.owners")] = None


class Params(JobParams):
    """:param by: the person who decided; None: the time ran out, or the product's own rule for low risks.

    :param started_by: who started this deployment by hand, if anybody did.
    :param holders: who has which of the approval's roles of Airflow, as the auth manager said when the answer came.
    """

    agreed: bool
    by: str | None = None
    reason: str = ""
    started_by: str | None = None
    holders: dict[str, tuple[str, ...]] = {}


Context = JobContext[Inputs, Settings, Params]


@job(stage=Stage.REGISTRY, makes="model version", result=ModelVersion, packages=("mlflow",), side_effects=True)
def approve(context: Context) -> JobResult:
    """Enter one decision; the reference says whether the version is approved, rejected, or waits for more people.

    :raises TransitionError: if the version waits for nobody, or who decided may not.
    :raises IntegrityError: if the ledger, or what the version's gates rest on, is not what it was.
    """
    approval, owners = context.settings.approval, context.settings.owners
    if approval is None or owners is None:
        raise ConfigurationError("the product declares no deployment.approval: nobody has to agree")
    with one_at_a_time(context):
        ledger = CheckedLedger(context)
        entries = ledger.trusted()
        version = ledger.registered_as(entries, context.inputs.version)
        status, left = status_of(entries, version.version), missing(entries, version.version, approval)
        if status not in READY:
            raise TransitionError(f"version {version.version} is {status}, and waits for nobody's approval")
        if left or not context.params.agreed:
            entry = _enter(context, ledger, entries, version)
            ledger.show()
            left = missing(ledger.entries(), version.version, approval)
            context.log.info("version %d is %s by %s: %s", version.version, entry.status, entry.by, entry.reason)
        last = last_entries(ledger.entries())[version.version]
    facts = {**version.facts, "status": last.status.value, "reason": last.reason, "missing": left}
    return JobResult(facts=facts, version=version.version, of=version)


def _enter(context: Context, ledger: CheckedLedger, entries: list[LedgerEntry], version: ModelVersion) -> LedgerEntry:
    """Enter a decision, with the report of the gates that it rests on."""
    params, gates = context.params, ledger.check_gates(entries, version).evidence
    evidence: dict[str, Any] = {"report": gates["report"], "hash": gates["hash"], "run": context.by}
    by, reason = params.by or context.by, params.reason
    if params.by is not None:
        evidence["roles"] = _roles(context, entries, version.version)
    elif params.agreed:
        evidence[BY_ITSELF], reason = True, _low_risk(context, entries, gates)
    if not params.agreed:
        return ledger.move(version, Status.REJECTED, reason=reason or "no reason given", by=by, evidence=evidence)
    ledger.announce_approval(version.version, by)
    return ledger.move(version, Status.APPROVED, reason=reason or "no reason given", by=by, evidence=evidence)


def _roles(context: Context, entries: list[LedgerEntry], number: int) -> list[str]:
    """Return the roles by which who decided may. :raises TransitionError: if none lets them."""
    approval, owners, params = context.settings.approval, context.settings.owners, context.params
    assert approval
    assert owners
    assert params.by
    holders = params.holders
    who: dict[str, Any] = {"person": params.by, "started_by": params.started_by, "agrees": params.agreed}
    if why := refusal(entries, number, approval, owners, **who, holders=holders):
        raise TransitionError(why)
    return [*approval.people_of(owners, holders)[params.by]]


def _low_risk(context: Context, entries: list[LedgerEntry], gates: dict[str, Any]) -> str:
    """Return why a version needs nobody. :raises TransitionError: if it does."""
    record = context.records.manifest_of(Report(uri=gates["report"], hash=gates["hash"], passed=True))
    evaluation = Evaluation.model_validate(record.result.facts["evaluation"] if record.result else None)
    approval = context.settings.approval
    assert approval
    if why := low_risk(entries, evaluation, approval):
        return why
    raise TransitionError(
        f"gain {evaluation.gain or 'unknown'} over the champion: the product lets a version go live by itself only "
        f"from {approval.by_itself} on"
    )
