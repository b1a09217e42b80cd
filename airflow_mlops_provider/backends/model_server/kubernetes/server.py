"""A model server as a Deployment and a Service of a Kubernetes cluster: applied, waited for, every pod asked.

It belongs to nobody: no object owns it, so that it outlives the pod of the job that applied it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from airflow_mlops_provider.backends.model_server import client
from airflow_mlops_provider.backends.model_server.base import Replica, Served
from airflow_mlops_provider.backends.model_server.following import READY_SECONDS, FollowingServer
from airflow_mlops_provider.backends.model_server.kubernetes.cluster import Cluster
from airflow_mlops_provider.backends.model_server.kubernetes.manifests import (
    INSTANCE,
    applied,
    manifests,
    noted,
    serves,
    template_of,
)
from airflow_mlops_provider.backends.model_server.kubernetes.progress import (
    has_died,
    hindered,
    in_vain,
    rolled_out,
)
from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.exceptions import ConfigurationError, DeploymentError, MLOpsError
from airflow_mlops_provider.lifecycle.serving.target import KubernetesDeployment

log = logging.getLogger(__name__)
#: Seconds between two looks; and for the pods of a server that is ended.
PAUSE, GONE_SECONDS = 0.5, 60.0
LONGEST_LOG = 1500


class KubernetesServer(FollowingServer):
    """Pods that follow the release pointer; each is asked at its own address, since a Service asks any one."""

    def __init__(self, served: Served) -> None:
        super().__init__(served)
        if not isinstance(served.serving.target, KubernetesDeployment):
            raise ConfigurationError("declare a model server on a cluster by serving.target=KubernetesDeployment(…)")
        self.target = served.serving.target
        self.name = self.target.name_for(served.product)
        self._former: dict[str, Any] | None = None

    @cached_property
    def cluster(self) -> Cluster:
        return Cluster(self.target.namespace)

    def prepare(self, release: Release) -> None:
        """Apply Service and Deployment, and wait until every pod runs what they say; else bring the former back."""
        served, options = self.served, self.served.code_of(release).options
        service, deployment = manifests(
            self.target, served.product, served.root, served.serving.port, options, os.environ
        )
        former = self._applied()
        self._former = former if former and former != deployment else None
        try:
            self.cluster.apply(service)
            self.cluster.apply(noted(deployment))
            self._await(template_of(deployment))
        except BaseException:
            self._bring_back()
            raise

    def deploy(self, release: Release) -> None:
        """Have every pod answer with a version; what others applied is refused before anything is told."""
        self._applied()
        super().deploy(release)

    def roll_back(self, before: Release | None) -> None:
        """Write the pointer back, then apply what was applied before."""
        super().roll_back(before)
        self._bring_back()

    def wait(self, release: Release) -> None:
        """Wait until every pod predicts with a version. :raises DeploymentError: naming each that does not."""
        end = time.monotonic() + READY_SECONDS
        while True:
            behind, pods = [], self._pods()
            for pod in pods:
                address = self._address(pod)
                state = client.server_state(address) if address else None
                try:
                    if client.predicts_with(state, address or "", release.version, release.requested_at):
                        continue
                except DeploymentError as error:
                    raise DeploymentError(f"pod {_name(pod)}: {error}") from None
                self._refuse_broken(pod)
                behind.append((pod, client.what_serves(state)))
            if pods and not behind:
                return
            if time.monotonic() > end:
                raise DeploymentError(self._not_in_time(release, behind))
            time.sleep(PAUSE)

    def observe(self) -> list[Replica]:
        """Ask every pod at its own address."""
        pods = ((pod, self._address(pod)) for pod in self._pods())
        return [Replica(f"pod {_name(pod)}", client.server_state(url) if url else None, url) for pod, url in pods]

    def stop(self) -> bool:
        """Scale it to nothing, and wait until its pods are gone; the next deployment brings them back."""
        former = self._applied()
        if former is None or former["spec"].get("replicas") == 0:
            return False
        self.cluster.apply(noted({**former, "spec": {**former["spec"], "replicas": 0}}))
        end = time.monotonic() + GONE_SECONDS
        while self._pods() and time.monotonic() < end:
            time.sleep(PAUSE)
        return True

    def _applied(self) -> dict[str, Any] | None:
        """Return what was applied before this; None if there is nothing of that name.

        :raises ConfigurationError: if that is others': applied by force, it would be theirs no more.
        """
        there = self.cluster.deployment(self.name)
        former = applied(there)
        if there and not (former and serves(former, self.served.product, self.served.root)):
            raise ConfigurationError(
                f"deployment {self.name} of namespace {self.cluster.namespace} does not serve {self.served.product} "
                f"from {self.served.root}, so it is others': say KubernetesDeployment(name=…), or delete it"
            )
        return former

    def _await(self, template: str | None) -> None:
        """Wait until all pods are new and ready. :raises DeploymentError: if one can't start, or it takes too long."""
        end, last = time.monotonic() + self.target.rollout_seconds, ""
        while True:
            done, words = rolled_out(self.cluster.deployment(self.name) or {"metadata": {"generation": 1}, "spec": {}})
            if words != last:
                log.info("%s in namespace %s: %s", self.name, self.cluster.namespace, words)
                last = words
            if done:
                return
            pods = [pod for pod in self._pods() if template_of(pod) == template]
            for pod in pods:
                self._refuse_broken(pod)
            if time.monotonic() > end:
                late = [f"pod {_name(pod)}: {hindered(pod)}{self._said(pod)}" for pod in pods if not _ready(pod)]
                what = f"{self.name} has not rolled out within {self.target.rollout_seconds} s: {words}"
                raise DeploymentError("; ".join([what, *late]))
            time.sleep(PAUSE)

    def _refuse_broken(self, pod: Mapping[str, Any]) -> None:
        if why := in_vain(pod):
            raise DeploymentError(f"pod {_name(pod)} of {self.name} can't start: {why}{self._said(pod)}")

    def _not_in_time(self, release: Release, behind: list[tuple[dict[str, Any], str]]) -> str:
        lines = [f"pod {_name(pod)}: {serves}; {hindered(pod)}{self._said(pod)}" for pod, serves in behind]
        what = f"{self.name} does not serve version {release.version} within {READY_SECONDS} s"
        reach = "pods are asked at their own addresses, so the job must run where these can be reached"
        return f"{what}: {'; '.join(lines) or 'it has no pods'}; {reach}"

    def _said(self, pod: Mapping[str, Any]) -> str:
        lines = self.cluster.log(_name(pod), previous=has_died(pod))
        return f"; its log ends: {lines[-LONGEST_LOG:]}" if lines else ""

    def _bring_back(self) -> None:
        """Apply what was applied before this; whatever hinders that does not hide why it is needed."""
        former, self._former = self._former, None
        if former is None:
            return
        try:
            self.cluster.apply(noted(former))
            log.warning("%s is brought back to what it was", self.name)
        except MLOpsError as error:
            log.warning("%s could not be brought back; what can predict serves on: %s", self.name, error)

    def _pods(self) -> list[dict[str, Any]]:
        return self.cluster.pods(f"{INSTANCE}={self.name}")

    def _address(self, pod: Mapping[str, Any]) -> str | None:
        ip = (pod.get("status") or {}).get("podIP")
        return client.url_of(ip, self.served.serving.port) if ip else None


def _name(pod: Mapping[str, Any]) -> str:
    name: str = pod["metadata"]["name"]
    return name


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
