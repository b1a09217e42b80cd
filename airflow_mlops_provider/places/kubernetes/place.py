"""A Kubernetes pod as a place: the same job, unedited, where the memory and the GPUs are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException
from pydantic import PrivateAttr

from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.base import Log, Place, StateOf
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.job import JobPod
from airflow_mlops_provider.places.kubernetes.reaper import remove_orphans
from airflow_mlops_provider.places.kubernetes.settings import PodSettings
from airflow_mlops_provider.places.kubernetes.task import PodTask

if TYPE_CHECKING:
    from airflow.sdk import Context


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
        """Delete the pod, whatever it does."""
        if self._pod is not None:
            self._pod.stop()

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
