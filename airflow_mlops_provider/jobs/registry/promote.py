"""Takes a registered version through the gates: to production-ready, or to rejected, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.jobs.registry import evidence
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger
from airflow_mlops_provider.lifecycle.owners import Owners
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.declared import Gates
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation
from airflow_mlops_provider.lifecycle.release.gates import Decision, judge, judge_card, judge_data
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status, last_entries, live_version, status_of
from airflow_mlops_provider.lifecycle.release.waivers import Waiver, evidence_of, waived, waivers_of
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job
from airflow_mlops_provider.storage.description import card_of


class Inputs(JobInputs):
    version: ModelVersion
    validation: Report | None = None
    evaluation: Report


class Settings(JobSettings):
    """:param owners: where the product names some, a version's model card must be whole."""

    metric: Annotated[Metric, ProductField("metric")]
    gates: Annotated[Gates, ProductField("evaluation.gates")]
    owners: Annotated[Owners | None, ProductField("business.owners")] = None


Context = JobContext[Inputs, Settings, evidence.Params]


@job(
    stage=Stage.REGISTRY,
    makes="model version",
    result=ModelVersion,
    packages=("mlflow",),
    uses=("mlflow",),
    side_effects=True,
)
def promote(context: Context) -> JobResult:
    """Record each gate's result in the ledger; a rejected version is no challenger any more.

    :raises TransitionError: if the evaluation or validation is of another model or dataset than this version's, or
        there is no record of its making.
    :raises IntegrityError: if a report, or what it is of, is not what was recorded.
    """
    version = context.inputs.version
    training = evidence.trained(context, version)
    given = context.inputs.validation
    if given is None and not context.params.any_data:
        raise TransitionError("a product's version is promoted with its validation; give validation=")
    validation = evidence.validated(context, given, training) if given else None
    evaluation = evidence.evaluated(context, context.inputs.evaluation, training)
    ledger = CheckedLedger(context)
    entries = ledger.trusted()
    # Taken once: a retry, or a rerun that trained the same model again, keeps the decision; a waiver opens it again.
    status = status_of(entries, version.version)
    granted = waivers_of(entries, version.version, datetime.now(UTC).date())
    if status in (Status.REGISTERED, Status.STAGING) or (status is Status.REJECTED and granted):
        check_current(entries, version, evaluation)
        decide(context, ledger, version, validation, evaluation, granted)
    ledger.show()
    last = last_entries(ledger.entries())[version.version]
    facts = {**version.facts, "status": last.status.value, "reason": last.reason}
    return JobResult(facts=facts, version=version.version, of=version)


def decide(
    context: Context,
    ledger: CheckedLedger,
    version: ModelVersion,
    validation: Report | None,
    evaluation: Evaluation,
    granted: Mapping[str, Waiver],
) -> None:
    """Enter the data gate's result, then the others'; where there is no product, data need no gate.

    A version that was rejected moves only if, with what was waived meanwhile, nothing is left that failed.
    """
    no_gate = Decision(passed=True, reasons=("no data gate was asked for",))
    data = waived(judge_data(validation), granted) if validation else no_gate
    model = waived(judge_model(context, version, evaluation), granted)
    if status_of(ledger.entries(), version.version) is Status.REJECTED and not (data.passed and model.passed):
        left = [result.name for result in (*data.failed, *model.failed)]
        context.log.info("version %d stays rejected: nobody waived %s", version.version, ", ".join(left))
        return
    if not data.passed:
        step(context, ledger, version, Status.REJECTED, data, validation or context.inputs.evaluation)
        return
    step(context, ledger, version, Status.STAGING, data, validation or context.inputs.evaluation)
    status = Status.PRODUCTION_READY if model.passed else Status.REJECTED
    step(context, ledger, version, status, model, context.inputs.evaluation)


def judge_model(context: Context, version: ModelVersion, evaluation: Evaluation) -> Decision:
    """Return what the gates say of a model, with what its retuning came to, if there was one."""
    settings, card = context.settings, card_of(context.records, context.product, version.version)
    of_card = judge_card(card.unfilled if card else None, required=settings.owners is not None)
    decision = judge(evaluation, settings.gates, settings.metric, of_card)
    retuning = version.facts.get("retuning")
    said = (*decision.reasons, retuning["summary"]) if retuning else decision.reasons
    return decision.model_copy(update={"reasons": said})


def check_current(entries: Sequence[LedgerEntry], version: ModelVersion, evaluation: Evaluation) -> None:
    """Make sure that a challenger was compared with what it would replace.

    :raises TransitionError: if another version went live since it was evaluated.
    """
    live = live_version(entries)
    if live is not None and live.version not in (version.version, evaluation.champion_version):
        raise TransitionError(
            f"version {version.version} was compared with {evaluation.champion_version or 'no champion'}, and by now "
            f"version {live.version} is live; clear the task that evaluates it"
        )


def step(
    context: Context, ledger: CheckedLedger, version: ModelVersion, to: Status, decision: Decision, report: Report
) -> None:
    """Enter one move into the ledger, with the report that it follows from, and what the gates said."""
    proof = {"report": report.uri, "hash": report.hash, **evidence_of(decision)}
    entry = ledger.move(version, to, reason="; ".join(decision.reasons), by=context.by, evidence=proof)
    context.log.info("version %d is %s: %s", version.version, to.value, entry.reason)
