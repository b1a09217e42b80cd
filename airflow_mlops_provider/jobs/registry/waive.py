"""Enters that a person waives a gate of a version, for a reason and until a day."""

from __future__ import annotations

from datetime import UTC, date, datetime

from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger, one_at_a_time
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import last_entries
from airflow_mlops_provider.lifecycle.release.waivers import Said, Waiver, check_waivable
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Inputs(JobInputs):
    version: ModelVersion


class Params(JobParams):
    """:param until: the last day on which it holds. :param by: the person who answers for it."""

    gate: Said
    reason: Said
    until: date
    by: Said


Context = JobContext[Inputs, JobSettings, Params]


@job(stage=Stage.REGISTRY, makes="model version", result=ModelVersion, packages=("mlflow",), side_effects=True)
def waive(context: Context) -> JobResult:
    """Keep in the ledger who waives a gate that the version failed; the version moves by its next promotion only.

    :raises UnknownNameError, TransitionError: if there is no such gate, or nothing of it to waive.
    """
    waiver, today = Waiver.model_validate(context.params.model_dump()), datetime.now(UTC).date()
    if waiver.until < today:
        raise TransitionError(f"a waiver until {waiver.until} has ended before it began: today is {today}")
    with one_at_a_time(context):
        ledger = CheckedLedger(context)
        entries = ledger.trusted()
        version = ledger.registered_as(entries, context.inputs.version)
        check_waivable(entries, version.version, waiver.gate)
        ledger.waive(version, waiver, context.by)
        status = last_entries(entries)[version.version].status
    context.log.warning("gate %s of version %d is %s", waiver.gate, version.version, waiver)
    facts = {**version.facts, "status": status.value, "waiver": waiver.to_json()}
    return JobResult(facts=facts, version=version.version, of=version)
