"""What a task tells others of where its result comes from: in its asset events, and to OpenLineage if that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context, XComArg

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.hooks.tables import Files, Sql
from airflow_mlops_provider.lifecycle.records.lineage import ingredients, process
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.lifecycle.references import Reference
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.manifests import read_manifest

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

#: An event's ``extra`` is a row of Airflow's database, and read by every consumer: of many inputs the last are named.
MOST_INPUTS = 24


class OpenLineageMixin:
    """The part of an operator that OpenLineage's listener asks once its task has ended; without it nobody asks.

    It asks in a fork of the task's process, where a call to Airflow would never return: all is at hand by then.
    """

    spec: JobSpec | None = None
    manifest: Manifest | None = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return inputs and outputs with their versions, and how the result was made; None if no job was run."""
        if self.spec is None:
            return None
        from airflow.providers.openlineage.extractors import OperatorLineage

        from airflow_mlops_provider.backends.lineage.openlineage import facets

        job = facets(self.spec, self.manifest)
        return OperatorLineage(inputs=job.inputs, outputs=job.outputs, run_facets=job.run)

    #: The same as far as it is known: of a job that left no manifest, what it was to do.
    get_openlineage_facets_on_failure = get_openlineage_facets_on_complete


def failure_manifest(error: MLOpsError, store: ArtifactStore) -> Manifest | None:
    """Return the manifest of a job that failed; None if it left none."""
    if error.result is None or not error.result.startswith(f"{store.uri}/"):
        return None
    with suppress(Exception):  # the job's own error counts, not that its record cannot be read
        return read_manifest(store, error.result.removeprefix(f"{store.uri}/"))
    return None


def mapped_arguments(declared: Any) -> dict[str, Any]:
    """Return what a mapped task was declared with, which is no attribute of it; nothing of any other."""
    expanded = getattr(getattr(declared, "expand_input", None), "value", None)
    return {**getattr(declared, "partial_kwargs", {}), **(expanded if isinstance(expanded, Mapping) else {})}


def handed_on(run: RunIdentity, declared: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return who handed on what a task was given, by role: ``dag/run/task``, or a source; as far as the DAG says.

    :param declared, given: the roles' values, before and after they were rendered.
    """
    tasks = {
        role: ", ".join(operator.task_id for operator, _ in XComArg.iter_xcom_references(value))
        for role, value in declared.items()
    }
    named = {role: run.model_copy(update={"task_id": names}).path for role, names in tasks.items() if names}
    sources = {role: str(value) for role, value in given.items() if isinstance(value, Files | Sql | str)}
    return named | {role: text for role, text in sources.items() if "/" in text or ":" in text}


def label(context: Context, text: str) -> None:
    """Have the run's list of tasks, beside the grid, say something of this one, in its column *Map Index*."""
    mapped = context.get("map_index_template")
    raw = f"{{% raw %}}{text}{{% endraw %}}"
    context["map_index_template"] = f"{mapped}: {raw}" if mapped else raw


def event_extra(manifest: Manifest, reference: Any, **further: Any) -> dict[str, Any]:
    """Return what an asset event of a job carries: the reference that it is about, and where that comes from.

    :param reference: what consumers go on with, as JSON.
    """
    inputs = [given for _, given in ingredients(manifest)]
    return {"reference": reference, **further, "lineage": {**origin(inputs, manifest.spec.run), **stamp(manifest)}}


def origin(inputs: Sequence[Reference], run: RunIdentity) -> dict[str, Any]:
    """Return of what something was made, by hashes, the last ones if they are many, and by which task."""
    left_out = {"inputs_left_out": len(inputs) - MOST_INPUTS} if len(inputs) > MOST_INPUTS else {}
    return {"inputs": [given.hash for given in inputs[-MOST_INPUTS:]], **left_out, "run": run.to_json()}


def stamp(manifest: Manifest) -> dict[str, Any]:
    """Return with what something was made: the job, the code's commit, environment, image and seed."""
    made = process(manifest)
    named = made.model_dump(include={"job", "address", "environment", "image", "seed"})
    return {**named, "commit": made.commit.commit, "dirty": made.commit.dirty}
