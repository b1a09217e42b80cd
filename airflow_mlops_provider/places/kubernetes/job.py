"""A job in a pod: what :class:`KubernetesPod` runs. Its end is decided from the pod and from the manifest it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError, OutOfMemoryError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.base import error_of, result_of
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions.facts import CONTAINER
from airflow_mlops_provider.places.kubernetes.decisions.table import ManifestState, PodVerdict
from airflow_mlops_provider.places.kubernetes.manifest import manifest_copy_key, spec_of
from airflow_mlops_provider.places.kubernetes.operator import DurablePodOperator
from airflow_mlops_provider.places.kubernetes.run import PodRun
from airflow_mlops_provider.places.kubernetes.task import PodTask
from airflow_mlops_provider.runtime import manifest_copy
from airflow_mlops_provider.storage.artifacts import MANIFEST, open_store

if TYPE_CHECKING:
    from airflow_mlops_provider.places.kubernetes.place import KubernetesPod

KEEP = {"none": "delete_pod", "failed": "delete_succeeded_pod", "all": "keep_pod"}
LOG = "log.txt"


class _Found(Exception):  # noqa: N818 - nothing is wrong: there is no pod to make
    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest.address)
        self.manifest = manifest


class JobPodOperator(DurablePodOperator):
    """Runs one job in a pod.

    :param place: the settings of the pod.
    :param environment: what the connections hold for the job.
    :param sink: receives the pod's lines and what there is to say of it.
    """

    def __init__(
        self, *, place: KubernetesPod, spec: JobSpec, environment: Mapping[str, str], sink: Any, **kwargs: Any
    ) -> None:
        super().__init__(
            kubernetes_conn_id=place.conn_id,
            namespace=place.namespace,
            deferrable=place.deferrable,
            poll_interval=place.poll_seconds,
            active_deadline_seconds=place.active_deadline_seconds,
            schedule_timeout_seconds=place.schedule_timeout_seconds,
            startup_timeout_seconds=place.startup_timeout_seconds,
            on_finish_action=KEEP[place.keep],
            log_bounds=place.log,
            **kwargs,
        )
        self.place, self.spec, self.environment = place, spec, environment
        self._sink = sink
        self._task = PodTask(None)

    def finished(self, context: Any, event: dict[str, Any] | None) -> Manifest:
        """Attend to the pod until its end, and return the job's manifest. See :meth:`DurablePodOperator.attend`."""
        self._task = PodTask(context)
        try:
            manifest = self.manifest(self.attend(context, event).name)
        except _Found as found:
            return found.manifest
        assert manifest is not None  # a success is told by it alone
        return manifest

    @property
    def sink(self) -> Any:
        """Where the operator whose job this is says what there is to say."""
        return self._sink

    def build_pod(self, task: PodTask) -> dict[str, Any]:
        """Return the place's pod, after the cluster's own policy has had its say (``pod_mutation_hook``).

        :raises _Found: if the image is named by its digest, and its work is known to be finished.
        """
        image = self.place.image.partition("@")[2]
        if image and (done := manifest_copy.find(self.spec, image, self.environment)):
            raise _Found(done)
        pod = self.place.manifest(
            self.spec,
            self.environment,
            memory=task.recall(self._memory_key),
            seconds=task.seconds(self.place.active_deadline_seconds),
            unique=task.unique,
        )
        return mutated(pod, self.api)

    def standing(self, name: str) -> ManifestState:
        """Return what the manifest says that a pod has left."""
        try:
            found = self.manifest(name)
        except ValidationError:
            return "partial"
        return found.state if found else "absent"  # it lies where no other pod writes: it is this one's

    def manifest(self, name: str) -> Manifest | None:
        """Return the copy of its manifest that a pod has left."""
        try:
            return Manifest.from_file(self._store.read(f"{manifest_copy_key(self.spec, name)}/{MANIFEST}"))
        except FileNotFoundError:
            return None

    def save_log(self, name: str, data: bytes) -> str | None:
        """Keep a pod's whole log beside that copy, and return where."""
        key = f"{manifest_copy_key(self.spec, name)}/{LOG}"
        self._store.write(key, data)
        return f"{self._store.uri}/{key}"

    def same_work(self, pod: dict[str, Any]) -> bool:
        """Say whether an earlier try's pod does the same job on the same inputs."""
        theirs = spec_of(pod)
        return theirs is not None and (theirs.identity(), theirs.force) == (self.spec.identity(), self.spec.force)

    def error(self, run: PodRun, conclusion: PodVerdict) -> MLOpsError:
        """Return the error that the manifest names, or the pod's; after an out-of-memory with what comes next."""
        manifest = self.manifest(run.name) if conclusion.told_by == "manifest" else None
        error = error_of(manifest) if manifest is not None else conclusion.exception()
        if manifest is not None:  # one without an address tells why the job could not even begin
            copy = f"{self._store.uri}/{manifest_copy_key(self.spec, run.name)}"
            error.result = result_of(manifest) if manifest.address else copy
        return self._with_more_memory(error, run) if type(error) is OutOfMemoryError else error

    def _with_more_memory(self, error: OutOfMemoryError, run: PodRun) -> OutOfMemoryError:
        had = memory_of(run.pod)
        more = self.place.more_memory(had)
        if more is not None:
            self._task.remember(self._memory_key, more)
            return OutOfMemoryError(f"{error}; it had {had}, the next try has {more}")
        last = OutOfMemoryError(f"{error}; it had {had or 'no limit of its own'}, and memory_cap allows no more")
        last.retryable = had is None
        return last

    @property
    def _memory_key(self) -> str:
        return f"mlops_memory_{self.spec.job}"

    @cached_property
    def _store(self) -> Any:
        return open_store(self.spec.root, self.environment)


def memory_of(pod: dict[str, Any] | None) -> str | None:
    """Return the memory that a pod's job may use; None if only its node bounds it."""
    for container in (pod or {}).get("spec", {}).get("containers") or ():
        if container["name"] == CONTAINER:
            found = ((container.get("resources") or {}).get("limits") or {}).get("memory")
            return str(found) if found else None
    return None


def mutated(pod: dict[str, Any], api: PodApi) -> dict[str, Any]:
    """Return a pod as the cluster's ``pod_mutation_hook`` leaves it.

    :raises ConfigurationError: if it has a field that the installed client does not know and would drop.
    """
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from airflow.settings import pod_mutation_hook

    request = PodGenerator.deserialize_model_dict(pod)
    if lost := sorted(_lost(pod, api.plain(request))):
        raise ConfigurationError(f"the installed Kubernetes client does not know a pod's {', '.join(lost)}")
    pod_mutation_hook(request)
    return api.plain(request)


def _lost(before: Any, after: Any, path: str = "") -> set[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        return {
            lost
            for key, value in before.items()
            for lost in (_lost(value, after[key], f"{path}.{key}") if key in after else {f"{path}.{key}".strip(".")})
        }
    if isinstance(before, list) and isinstance(after, list):
        return {lost for one, other in zip(before, after, strict=False) for lost in _lost(one, other, path)}
    return set()
