"""Takes a registered version through the gates: to production-ready, or to rejected, with the reasons."""

from __future__ import annotations

from airflow_mlops_provider.backends.ledger import Ledger
from airflow_mlops_provider.backends.mlflow_mirror import Mirror
from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.jobs import standing
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.gates import Decision, Evaluation, judge
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.registry import Status, status_of

UNDECIDED = {Status.REGISTERED, Status.STAGING}


def run(work: Work) -> Outcome:
    """Record each gate's result in the ledger; a rejected version is no challenger any more.

    :raises TransitionError: if the evaluation or validation is of another model or dataset than this version's.
    """
    version: ModelVersion = work.input("version")
    validation, evaluation = work.input("validation"), work.input("evaluation")
    check_evidence(version, validation, evaluation)
    ledger, mirror = Ledger(work.store, version.name), Mirror(work.spec.services.mlflow, version.name)
    # A retry, or a rerun that trained the same model again, finds the decision taken and leaves it.
    if status_of(standing.entries(work.store, ledger, mirror), version.version) in UNDECIDED:
        decide(work, ledger, version, validation, evaluation)
    mirror.follow(ledger)
    last = [entry for entry in ledger.entries() if entry.version.version == version.version][-1]
    return Outcome(
        kind=ModelVersion,
        facts={**version.facts, "status": last.status.value, "reason": last.reason},
        fields={"name": version.name, "version": version.version},
        of=version,
    )


def decide(work: Work, ledger: Ledger, version: ModelVersion, validation: Report, evaluation: Report) -> None:
    """Enter the data gate's result, then the evaluation's."""
    decision = validated(validation)
    if decision.passed:
        step(work, ledger, version, Status.STAGING, decision, validation)
        decision = judge(Evaluation.model_validate(evaluation.facts["evaluation"]), work.product.gates)
        if retuning := version.facts.get("retuning"):
            decision = Decision(passed=decision.passed, reasons=(*decision.reasons, retuning["summary"]))
    status = Status.PRODUCTION_READY if decision.passed else Status.REJECTED
    step(work, ledger, version, status, decision, evaluation)


def check_evidence(version: ModelVersion, validation: Report, evaluation: Report) -> None:
    """Make sure that the reports judge this very version and the data it was trained on."""
    if evaluation.facts.get("model") != version.hash:
        raise TransitionError(f"the evaluation is of another model than {version.name} version {version.version}")
    if validation.facts.get("dataset") != version.facts["training_set"]["hash"]:
        raise TransitionError(f"the validation is of other data than {version.name} version {version.version} saw")


def validated(report: Report) -> Decision:
    """Return the data gate's decision."""
    if report.passed:
        return Decision(passed=True, reasons=(f"its training data met all {report.facts['checked']} expectations",))
    return Decision(passed=False, reasons=report.broken)


def step(work: Work, ledger: Ledger, version: ModelVersion, to: Status, decision: Decision, report: Report) -> None:
    """Enter one move into the ledger, with the report it rests on."""
    evidence = {"report": report.uri, "hash": report.hash}
    entry = ledger.move(version, to, reason="; ".join(decision.reasons), by=work.by, evidence=evidence)
    work.log.info("version %d is %s: %s", version.version, to.value, entry.reason)
