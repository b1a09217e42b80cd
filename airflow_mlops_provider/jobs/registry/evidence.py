"""The evidence for a version: the records of its training, evaluation and validation, opened by address and hash."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import IntegrityError, MissingRecordError, TransitionError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Reference, Report
from airflow_mlops_provider.lifecycle.release.evaluation import Cost, Evaluation
from airflow_mlops_provider.runtime.arguments import JobParams
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.storage.ledger import Ledger

EVALUATION = "evaluation.json"


class Params(JobParams):
    """:param any_data: what was trained, or judged, on any data counts, as there is no product that says on which."""

    any_data: bool = False


class Training(NamedTuple):
    """How a model was made: the model as its training's record has it, and what that record names as training set."""

    model: Model
    training_set: Dataset


def trained(context: AnyContext, model: Model | ModelVersion) -> Training:
    """Return how a model was made.

    :raises TransitionError: if no training made it, or made it of what does not count.
    """
    record = _record(context, model, "train")
    training_set = _given(record, "training_set")
    if not context.params.any_data:
        _record(context, training_set, "training_set")
    assert isinstance(record.result, Model)
    assert isinstance(training_set, Dataset)
    return Training(record.result.model_copy(update={"uri": model.uri}), training_set)


def evaluated(context: AnyContext, report: Report, training: Training) -> Evaluation:
    """Return what the evaluation of a model found, from its report's own file.

    Where there is no product, it may be of any data and by any metric.

    :raises TransitionError: if it is of another model, other data or by another metric than the product's.
    :raises IntegrityError: if the file says something else than the record.
    """
    record = _record(context, report, "evaluate")
    _same(record, "model", training.model)
    if not context.params.any_data:
        _same(record, "training_set", training.training_set)
    where = f"{report.uri}/{EVALUATION}"
    try:
        evaluation = Evaluation.from_file((context.open(report) / EVALUATION).read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(f"{where} is no evaluation: {error}") from None
    recorded = record.result.facts.get("evaluation") if record.result else None
    if evaluation.model_dump_json() != Evaluation.model_validate(recorded, extra="ignore").model_dump_json():
        raise IntegrityError(f"{where} has other figures than the record of the evaluation")
    metric = context.settings.metric
    if metric and evaluation.metric != metric.name:
        raise TransitionError(f"{report.uri} judges by {evaluation.metric}, the product by {metric.name}")
    _check_champion(context, record, evaluation.champion_version)
    return evaluation.model_copy(update={"cost": Cost.of(record.metrics)})


def judged_on(context: AnyContext, report: Report) -> Dataset:
    """Return the data of which an evaluation is."""
    given = _given(_record(context, report, "evaluate"), "training_set")
    assert isinstance(given, Dataset)
    return given


def validated(context: AnyContext, report: Report, training: Training) -> Report:
    """Return the validation of a training set, as its record has it.

    :raises TransitionError: if it is of other data than the model was trained on.
    :raises IntegrityError: if its files are not those that were recorded.
    """
    record = _record(context, report, "validate")
    _same(record, "dataset", training.training_set)
    if record.spec.params.get("what") != "training":
        raise TransitionError(f"{report.uri} is no validation of training data, but of {record.spec.params}")
    context.open(report)
    assert isinstance(record.result, Report)
    return record.result


def _record(context: AnyContext, reference: Reference, job: str) -> Manifest:
    """Return the record of how something was made, by its address and its hash."""
    try:
        record = context.records.manifest_of(reference)
    except MissingRecordError as error:
        raise TransitionError(f"no {job} job of {context.spec.product} made this {reference.kind}: {error}") from None
    if (record.spec.job, record.spec.product) != (job, context.spec.product):
        raise TransitionError(
            f"{reference.uri} was made by {record.spec.product}/{record.spec.job}, not {context.spec.product}/{job}; "
            "give both operators the same product="
        )
    return record


def _check_champion(context: AnyContext, record: Manifest, number: int | None) -> None:
    """Make sure that what a challenger was compared with is the version whose number the evaluation names."""
    if "champion" not in record.spec.inputs:
        return
    champion, entries = _given(record, "champion"), Ledger(context.store, context.product).entries()
    if champion.hash not in {entry.version.hash for entry in entries if entry.version.version == number}:
        raise TransitionError(f"the evaluation's champion {champion.hash} is not version {number}")


def _same(record: Manifest, role: str, wanted: Reference) -> None:
    given = _given(record, role)
    if given.hash != wanted.hash:
        uri = record.result.uri if record.result else record.address
        raise TransitionError(f"{uri} is of another {role} than the version's: {given.hash}, not {wanted.hash}")


def _given(record: Manifest, role: str) -> Reference:
    given = record.spec.inputs.get(role)
    if not isinstance(given, Reference):
        raise TransitionError(f"the record of {record.spec.job} {record.address} does not name one {role!r}")
    return given
