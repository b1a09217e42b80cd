"""Takes a version out of what may go live, because somebody says so."""

from __future__ import annotations

from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger, one_at_a_time
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status, live_versions
from airflow_mlops_provider.lifecycle.release.waivers import Said
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Inputs(JobInputs):
    version: ModelVersion


class Params(JobParams):
    """:param by: who decided it; by default the run itself."""

    reason: Said
    by: Said | None = None


Context = JobContext[Inputs, JobSettings, Params]


@job(stage=Stage.REGISTRY, makes="model version", result=ModelVersion, packages=("mlflow",), side_effects=True)
def retire(context: Context) -> JobResult:
    """Enter in the ledger that a version is retired, by whom and why; only a rollback brings it back.

    :raises TransitionError: if it is live, or no version that may go live.
    """
    with one_at_a_time(context):
        ledger, params = CheckedLedger(context), context.params
        entries = ledger.trusted()
        version = ledger.registered_as(entries, context.inputs.version)
        if version in live_versions(entries):
            raise TransitionError(
                f"version {version.version} of {version.name} is live: first roll back to another version, by a "
                "deployment that names it with rollback, then retire this one"
            )
        by, run = params.by or context.by, {"run": context.by}
        entry = ledger.move(version, Status.RETIRED, reason=params.reason, by=by, evidence=run)
        ledger.show()
    context.log.info("version %d is retired by %s: %s", version.version, entry.by, entry.reason)
    facts = {**version.facts, "status": entry.status.value, "reason": entry.reason}
    return JobResult(facts=facts, version=version.version, of=version)
