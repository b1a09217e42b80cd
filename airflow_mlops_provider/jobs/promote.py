"""Takes a registered version through the gates: to production-ready, or to rejected, with the reasons."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops_provider.backends.ledger import Ledger
from airflow_mlops_provider.backends.mlflow_mirror import Mirror
from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.jobs import evidence, standing
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.gates import Decision, Evaluation, judge
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.registry import LedgerEntry, Status, live_version, status_of

UNDECIDED = {Status.REGISTERED, Status.STAGING}


def run(work: Work) -> Outcome:
    """Record each gate's result in the ledger; a rejected version is no challenger any more.

    :raises TransitionError: if the evaluation or validation is of another model or dataset than this version's, or
        there is no record of its making.
    :raises IntegrityError: if a report, or what it is of, is not what was recorded.
    """
    version: ModelVersion = work.input("version")
    training = evidence.trained(work, version)
    validation = evidence.validated(work, work.input("validation"), training)
    evaluation = evidence.evaluated(work, work.input("evaluation"), training)
    ledger, mirror = Ledger(work.store, version.name), Mirror(work.spec.services.mlflow, version.name)
    # A retry, or a rerun that trained the same model again, finds the decision taken and leaves it.
    entries = standing.entries(work.store, ledger, mirror)
    if status_of(entries, version.version) in UNDECIDED:
        check_current(entries, version, evaluation)
        decide(work, ledger, version, validation, evaluation)
    mirror.follow(ledger)
    last = [entry for entry in ledger.entries() if entry.version.version == version.version][-1]
    return Outcome(
        kind=ModelVersion,
        facts={**version.facts, "status": last.status.value, "reason": last.reason},
        fields={"name": version.name, "version": version.version},
        of=version,
    )


def decide(work: Work, ledger: Ledger, version: ModelVersion, validation: Report, evaluation: Evaluation) -> None:
    """Enter the data gate's result, then the evaluation's."""
    decision, report = validated(validation), validation
    if decision.passed:
        step(work, ledger, version, Status.STAGING, decision, validation)
        decision, report = judge(evaluation, work.product.gates), work.input("evaluation")
        if retuning := version.facts.get("retuning"):
            decision = Decision(passed=decision.passed, reasons=(*decision.reasons, retuning["summary"]))
    status = Status.PRODUCTION_READY if decision.passed else Status.REJECTED
    step(work, ledger, version, status, decision, report)


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


def validated(report: Report) -> Decision:
    """Return the data gate's decision."""
    if report.passed:
        return Decision(passed=True, reasons=(f"its training data met all {report.facts['checked']} expectations",))
    return Decision(passed=False, reasons=report.broken)


def step(work: Work, ledger: Ledger, version: ModelVersion, to: Status, decision: Decision, report: Report) -> None:
    """Enter one move into the ledger, with the report it rests on."""
    rests_on = {"report": report.uri, "hash": report.hash}
    entry = ledger.move(version, to, reason="; ".join(decision.reasons), by=work.by, evidence=rests_on)
    work.log.info("version %d is %s: %s", version.version, to.value, entry.reason)
