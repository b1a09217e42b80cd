"""Registers a model as a numbered version, with what led to it."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.backends.ledger import Ledger
from airflow_mlops_provider.backends.mlflow import MlflowBackend
from airflow_mlops_provider.backends.mlflow_mirror import Mirror
from airflow_mlops_provider.jobs import standing
from airflow_mlops_provider.jobs.evidence import Training, evaluated, trained
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion
from airflow_mlops_provider.lifecycle.registry import Status, status_of


def run(work: Work) -> Outcome:
    """Make the model a version in MLflow's registry and enter it in the ledger; the same model stays one version."""
    training = trained(work, work.input("model"))
    evaluation = evaluated(work, work.input("evaluation"), training)
    model = training.model.model_copy(update={"facts": {**training.model.facts, **retuned(work, training)}})
    mlflow, name = MlflowBackend(work.spec.services.mlflow), work.product.name
    run_id, judged_on = str(model.facts["run_id"]), training.training_set
    ledger, mirror = Ledger(work.store, name), Mirror(work.spec.services.mlflow, name)
    entries = standing.entries(work.store, ledger, mirror)
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


def retuned(work: Work, training: Training) -> dict[str, Any]:
    """Return what the search around the fixed settings came to that this model is of; nothing if there was none."""
    searches = [
        (record.result, (record.result.facts.get("model") or {}).get("hash"))
        for record in work.records.all(work.product.name, "retune")
        if record.result and _trained_on(record) == training.training_set.hash
    ]
    # The one that made this model; else one that found nothing better than it.
    found = next((one for wanted in (training.model.hash, None) for one, made in searches if made == wanted), None)
    if found is None:
        return {}
    told = {name: value for name, value in found.facts.items() if name not in {"model", "evaluation"}}
    return {"retuning": {**told, "report": found.uri}}


def _trained_on(record: Manifest) -> str | None:
    given = record.spec.inputs.get("training_set")
    return given.hash if isinstance(given, Dataset) else None


def tags(work: Work, model: Model) -> dict[str, str]:
    """Return what a version's page in the registry should say of its origin."""
    training_set, retuning = model.facts["training_set"], model.facts.get("retuning")
    said = {"retuning": str(retuning["summary"])} if retuning else {}
    rows = str(training_set["facts"]["rows"])
    return {"training_set": training_set["hash"], "training_rows": rows, "by": work.by, **said}
