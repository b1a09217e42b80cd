"""Registers a model as a numbered version, with what led to it."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.jobs.registry import evidence
from airflow_mlops_provider.jobs.registry.describe import describe, sign
from airflow_mlops_provider.jobs.registry.evidence import Training, evaluated, judged_on, trained
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.approval import STARTED_BY
from airflow_mlops_provider.lifecycle.release.registry import Status, status_of
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Inputs(JobInputs):
    model: Model
    evaluation: Report | None = None


class Settings(JobSettings):
    """:param metric: by which a product's models are judged; None where there is no product."""

    metric: Metric | None = None


class Params(evidence.Params):
    """:param started_by: who started the training by hand; None if nobody did."""

    cause: str | None = None
    reason: str | None = None
    started_by: str | None = None


Context = JobContext[Inputs, Settings, Params]


@job(
    stage=Stage.REGISTRY,
    makes="model version",
    result=ModelVersion,
    packages=("mlflow",),
    services=("signing",),
    uses=("mlflow",),
    side_effects=True,
)
def register(context: Context) -> JobResult:
    """Make the model a version in MLflow's registry and the ledger, signed and described; it stays one version."""
    training, given = trained(context, context.inputs.model), context.inputs.evaluation
    if given is None and not context.params.any_data:
        raise ConfigurationError("a product's model is registered with its evaluation; give evaluation=")
    evaluation = evaluated(context, given, training) if given else None
    model = training.model.model_copy(update={"facts": {**training.model.facts, **retuned(context, training)}})
    mlflow, name = MlflowBackend(context.spec.services.mlflow), context.product
    run_id = str(model.facts["run_id"])
    ledger = CheckedLedger(context)
    entries = ledger.trusted()
    if given and evaluation:
        figures = {f"evaluation_{evaluation.metric}": evaluation.challenger.value}
        mlflow.log_evaluation(run_id, figures, judged_on(context, given))
    sign(context, model)  # before the ledger has it: what it has is signed
    taken = {entry.version.version for entry in entries if entry.version.hash != model.hash}
    number = mlflow.register(name=name, model=model, run_id=run_id, tags=tags(context, model), taken=taken)
    facts = {**model.facts, "as_of": evaluation.window if evaluation else None, "cause": context.params.cause}
    version = ModelVersion(name=name, version=number, uri=model.uri, hash=model.hash, facts=facts)
    reason = context.params.reason or "a training run asked for it"
    if status_of(entries, number) is None:
        started = {STARTED_BY: context.params.started_by} if context.params.started_by else {}
        evidence = {"model": model.hash, **started}
        ledger.move(version, Status.REGISTERED, reason=f"trained because: {reason}", by=context.by, evidence=evidence)
    else:
        ledger.registered_as(entries, version)
    ledger.show()
    describe(context, number)
    context.log.info("registered %s version %d", name, number)
    return JobResult(facts=facts, version=number, of=model)


def retuned(context: Context, training: Training) -> dict[str, Any]:
    """Return the result of the retuning from which this model comes; nothing if there was none."""
    reports = []
    for record in context.records.all(context.product, "retune"):
        given = record.spec.inputs.get("training_set")
        if record.result and isinstance(given, Dataset) and given.hash == training.training_set.hash:
            reports.append(record.result)
    by_model = {(report.facts.get("model") or {}).get("hash"): report for report in reversed(reports)}
    # The one that made this model; else one that found nothing better than it.
    report = by_model.get(training.model.hash) or by_model.get(None)
    if report is None:
        return {}
    facts = {name: value for name, value in report.facts.items() if name not in {"model", "evaluation"}}
    return {"retuning": {**facts, "report": report.uri}}


def tags(context: Context, model: Model) -> dict[str, str]:
    """Return what a version's page in the registry should say of its origin."""
    training_set, retuning = model.facts["training_set"], model.facts.get("retuning")
    summary = {"retuning": str(retuning["summary"])} if retuning else {}
    rows = str(training_set["facts"].get("rows", ""))
    return {"training_set": training_set["hash"], "training_rows": rows, "by": context.by, **summary}
