"""A Kubernetes pod as a place: the same job, unedited, where the memory and the GPUs are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException
from pydantic import PrivateAttr, ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError, OutOfMemoryError
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.base import Log, Place, StateOf, error_of, result_of
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions.table import ManifestState, PodVerdict
from airflow_mlops_provider.places.kubernetes.manifest import job_container, manifest_copy_key, pod_manifest, spec_of
from airflow_mlops_provider.places.kubernetes.orphans import remove_orphans
from airflow_mlops_provider.places.kubernetes.run import PodRun, PodTask
from airflow_mlops_provider.places.kubernetes.settings import PodSettings
from airflow_mlops_provider.runtime.runner import look
from airflow_mlops_provider.storage.artifacts import MANIFEST, ArtifactStore, open_store
from airflow_mlops_provider.storage.layout import image_key
from airflow_mlops_provider.storage.manifests import read_manifest

LOG = "log.txt"


class KubernetesPod(PodSettings, Place):
    """Runs a job in a pod, waited for without holding a worker, and decides its end from the pod and its manifest.

    The image needs this package and the product's code. What the job leaves lies in the artifact root, so that is a
    bucket, or a folder that workers and pods mount at the same path. What a pod may have: :class:`PodSettings`.
    """

    _pod: JobPod | None = PrivateAttr(default=None)

    def run(
        self,
        spec: JobSpec,
        secrets: Mapping[str, str],
        log: Log,
        context: Context | None = None,
        event: dict[str, Any] | None = None,
    ) -> Manifest:
        """Run a job in a pod and return its manifest. See :meth:`.Place.run`."""
        self._pod = JobPod(self, spec, secrets, log, PodTask(context), event)
        return self._pod.result()

    def stop(self) -> None:
        if self._pod is not None:
            self._pod.stop()

    def probe(self) -> str:
        """Ask the cluster for a pod of the namespace."""
        return PodApi({"conn_id": self.conn_id}, self.namespace).probe()

    @property
    def log_file(self) -> str | None:
        return self._pod.log_file if self._pod is not None else None

    def remove_orphans(self, state_of: StateOf, log: Log, keep_hours: float) -> list[str]:
        """Remove the pods of this Airflow whose task instance is finished or gone. See :meth:`.Place.remove_orphans`.

        Which pods are this Airflow's, ``[mlops] installation`` says.
        """
        installation = option("installation")
        if installation is None:
            raise AirflowSkipException("[mlops] installation is not set: no pod is known to be this Airflow's own")
        api = PodApi({"conn_id": self.conn_id}, self.namespace)
        if why := api.unconfigured():
            raise AirflowSkipException(f"no Kubernetes cluster is configured: {why}")
        return remove_orphans(api, installation, state_of, log, keep_hours)


class _ReusedManifest(Exception):  # noqa: N818 - nothing is wrong: there is no pod to make
    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest.address)
        self.manifest = manifest


class JobPod(PodRun):
    """One job in a pod.

    :param environment: what the connections hold for the job.
    """

    def __init__(
        self,
        settings: PodSettings,
        spec: JobSpec,
        environment: Mapping[str, str],
        log: Log,
        task: PodTask,
        event: dict[str, Any] | None,
    ) -> None:
        api = PodApi({"conn_id": settings.conn_id}, settings.namespace)
        super().__init__(api, task, settings.watch(), log, event, deferrable=settings.deferrable)
        self.settings, self.spec, self.environment = settings, spec, environment
        self.log_file: str | None = None

    def result(self) -> Manifest:
        """Attend to the pod until its end, and return the job's manifest. See :meth:`.PodRun.attend`."""
        try:
            self.attend()
        except _ReusedManifest as reused:
            return reused.manifest
        manifest = self._manifest(self.name)
        assert manifest is not None  # without one, its end is an error
        return manifest

    def build_pod(self) -> dict[str, Any]:
        """Return the job's pod, after the cluster's own policy was applied (``pod_mutation_hook``).

        :raises _ReusedManifest: if the image is named by its digest, and its work is known to be finished.
        """
        image = self.settings.image.partition("@")[2]
        before = read_manifest(self._store, image_key(self.spec, image)) if image else None
        finished = look(self.spec, self.environment, before)[0] if before else None
        if finished:
            raise _ReusedManifest(finished)
        pod = pod_manifest(
            self.settings,
            self.spec,
            self.environment,
            memory=self.task.recall(self._memory_key),
            seconds=self.task.seconds(self.settings.active_deadline_seconds),
            unique=self.task.unique,
        )
        return mutated(pod, self.api)

    def manifest_state(self, name: str) -> ManifestState:
        try:
            manifest = self._manifest(name)
        except ValidationError:
            return "partial"
        return manifest.state if manifest else "absent"  # it lies where no other pod writes: it is this one's

    def save_log(self, data: bytes) -> str | None:
        """Keep the pod's whole log beside its copy of the manifest, and return where."""
        key = f"{manifest_copy_key(self.spec, self.name)}/{LOG}"
        self._store.write(key, data)
        self.log_file = f"{self._store.uri}/{key}"
        return self.log_file

    def same_work(self, pod: dict[str, Any]) -> bool:
        """Say whether an earlier try's pod does the same job on the same inputs."""
        theirs = spec_of(pod)
        return theirs is not None and (theirs.identity(), theirs.force) == (self.spec.identity(), self.spec.force)

    def error(self, verdict: PodVerdict) -> MLOpsError:
        """Return the error that the manifest names, or the pod's; after an out-of-memory with what comes next."""
        manifest = self._manifest(self.name) if verdict.error is None else None
        if manifest is None:
            error = super().error(verdict)
        else:  # one without an address says why the job could not even begin
            error = error_of(manifest)
            copy = f"{self._store.uri}/{manifest_copy_key(self.spec, self.name)}"
            error.result = result_of(manifest) if manifest.address else copy
        return self._with_more_memory(error) if type(error) is OutOfMemoryError else error

    def _with_more_memory(self, error: OutOfMemoryError) -> OutOfMemoryError:
        had = memory_of(self.pod)
        more = self.settings.more_memory(had)
        if more is not None:
            self.task.remember(self._memory_key, more)
            return OutOfMemoryError(f"{error}; it had {had}, the next try has {more}")
        last = OutOfMemoryError(f"{error}; it had {had or 'no limit of its own'}, and memory_cap allows no more")
        last.retryable = had is None
        return last

    def _manifest(self, name: str) -> Manifest | None:
        try:
            return Manifest.from_file(self._store.read(f"{manifest_copy_key(self.spec, name)}/{MANIFEST}"))
        except FileNotFoundError:
            return None

    @property
    def _memory_key(self) -> str:
        return f"mlops_memory_{self.spec.job}"

    @cached_property
    def _store(self) -> ArtifactStore:
        return open_store(self.spec.root, self.environment)


def memory_of(pod: dict[str, Any] | None) -> str | None:
    """Return the memory that a pod's job may use; None if only its node bounds it."""
    resources = job_container(pod or {}).get("resources") or {}
    return (resources.get("limits") or {}).get("memory")


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
    """Return the paths of the fields that one API object has and the other lacks."""
    if isinstance(before, dict) and isinstance(after, dict):
        lost = {f"{path}.{key}".strip(".") for key in before.keys() - after.keys()}
        return lost.union(*(_lost(before[key], after[key], f"{path}.{key}") for key in before.keys() & after.keys()))
    if isinstance(before, list) and isinstance(after, list):
        return set[str]().union(*(_lost(*pair, path) for pair in zip(before, after, strict=False)))
    return set()
