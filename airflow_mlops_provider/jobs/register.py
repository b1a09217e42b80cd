"""Registers a model as a numbered version, with what led to it."""

from __future__ import annotations

from airflow_mlops_provider.backends.ledger import Ledger
from airflow_mlops_provider.backends.mlflow import MlflowBackend
from airflow_mlops_provider.backends.mlflow_mirror import Mirror
from airflow_mlops_provider.jobs import standing
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.gates import Evaluation
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Report
from airflow_mlops_provider.lifecycle.registry import Status, status_of


def run(work: Work) -> Outcome:
    """Make the model a version in MLflow's registry and enter it in the ledger; the same model stays one version."""
    model: Model = work.input("model")
    report: Report = work.input("evaluation")
    evaluation = Evaluation.model_validate(report.facts["evaluation"])
    ledger, mirror = Ledger(work.store, work.product.name), Mirror(work.spec.services.mlflow, work.product.name)
    entries = standing.entries(work.store, ledger, mirror)
    mlflow = MlflowBackend(work.spec.services.mlflow)
    run_id, name = str(model.facts["run_id"]), work.product.name
    judged_on = Dataset.model_validate(model.facts["training_set"])
    mlflow.log_evaluation(run_id, {f"evaluation_{evaluation.metric}": evaluation.challenger.value}, judged_on)
    number = mlflow.register(name=name, model=model, run_id=run_id, tags=tags(work, model))
    version = ModelVersion(
        name=name,
        version=number,
        uri=model.uri,
        hash=model.hash,
        facts={**model.facts, "as_of": evaluation.window, "cause": work.spec.params.get("cause")},
    )
    why = str(work.spec.params.get("reason") or "a training run asked for it")
    if status_of(entries, number) is None:
        evidence = {"model": model.hash}
        ledger.move(version, Status.REGISTERED, reason=f"trained because: {why}", by=work.by, evidence=evidence)
    else:
        standing.registered_as(work.store, entries, version)
    mirror.follow(ledger)
    work.log.info("registered %s version %d", name, number)
    fields = version.model_dump(include={"name", "version"})
    return Outcome(kind=ModelVersion, facts=version.facts, fields=fields, of=model)


def tags(work: Work, model: Model) -> dict[str, str]:
    """Return what a version's page in the registry should say of its origin."""
    training_set, retuning = model.facts["training_set"], model.facts.get("retuning")
    said = {"retuning": str(retuning["summary"])} if retuning else {}
    rows = str(training_set["facts"]["rows"])
    return {"training_set": training_set["hash"], "training_rows": rows, "by": work.by, **said}
