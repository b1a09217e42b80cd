"""The few requests to the Kubernetes API, on its own JSON, each repeated while the API is unwell."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError
from airflow_mlops_provider.places.kubernetes.decisions.ends import refusal
from airflow_mlops_provider.places.kubernetes.decisions.facts import CONTAINER
from airflow_mlops_provider.places.kubernetes.decisions.identity import DECIDED

if TYPE_CHECKING:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

#: Of a pod's log; a node keeps 10 MiB by default before it starts a new one.
LONGEST_LOG = 64 * 1024 * 1024
GONE_WITHIN = 15
PROBE_SECONDS = 5
#: Where a pod finds the namespace that it runs in.
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class PodApi:
    """The pods of one namespace, through an Airflow connection to the cluster.

    :param access: what a ``KubernetesHook`` is made with, by name: a connection and no credentials.
    :param namespace: by default the connection's, then the one that this process runs in, then ``default``.
    """

    def __init__(self, access: Mapping[str, Any], namespace: str | None = None) -> None:
        self.access, self._namespace = access, namespace

    @cached_property
    def namespace(self) -> str:
        own = OWN_NAMESPACE.read_text() if OWN_NAMESPACE.exists() else None
        return self._namespace or self._hook.get_namespace() or own or "default"

    def unconfigured(self) -> str | None:
        """Return why there is no cluster to reach; None if one is configured."""
        from kubernetes.config import ConfigException

        try:
            self._hook.get_conn()
        except ConfigException as error:
            return str(error)
        return None

    def probe(self) -> str:
        """Ask for one pod, once, and say who answered. :raises MLOpsError: what a refusal, or silence, means."""
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError

        try:
            self._hook.core_v1_client.list_namespaced_pod(
                self.namespace, limit=1, _preload_content=False, _request_timeout=PROBE_SECONDS
            )
        except ApiException as error:
            raise refusal(error.status or 503, error.body or error.reason).exception() from None
        except (HTTPError, ConfigException) as error:
            raise BackendError(f"the Kubernetes API cannot be reached: {str(error)[:500]}") from None
        return f"the Kubernetes API answers for namespace {self.namespace}"

    @cached_property
    def _hook(self) -> KubernetesHook:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

        return KubernetesHook(**self.access)

    def plain(self, pod: Any) -> dict[str, Any]:
        """Return a ``V1Pod`` as the API's JSON."""
        plain: dict[str, Any] = self._hook.api_client.sanitize_for_serialization(pod)
        return plain

    def create(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Create a pod; one of the same name is the same pod, created by a request whose answer was lost."""
        name = pod["metadata"]["name"]
        created = self._json("create_namespaced_pod", body=pod, unless=(409,)) or self.read(name)
        if created is None:
            raise BackendError(f"pod {name} was there and is gone; a retry makes it again")
        return created

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a pod; None if there is none of that name."""
        return self._json("read_namespaced_pod", name=name, unless=(404,))

    def find(self, selector: str) -> list[dict[str, Any]]:
        """Return the pods that a label selector means."""
        return self._items("list_namespaced_pod", label_selector=selector)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events about a pod, also about one that is gone; none if we may not read them."""
        try:
            return self._items("list_namespaced_event", field_selector=f"involvedObject.name={name}")
        except (BackendError, ConfigurationError):  # they only explain; whatever is decided, is decided without them
            return []

    def log(self, name: str, **query: Any) -> bytes | None:
        """Return what the job's container has printed; None if that is not known any more, or not yet."""
        query = {"timestamps": True, "limit_bytes": LONGEST_LOG, **query}
        try:
            return self._request("read_namespaced_pod_log", name=name, container=CONTAINER, **query)
        except (BackendError, ConfigurationError):  # the container has not started, or its node is gone
            return None

    def mark(self, name: str) -> None:
        """Mark a pod as one whose end has been decided."""
        self._json("patch_namespaced_pod", name=name, body={"metadata": {"labels": {DECIDED: "true"}}}, unless=(404,))

    def delete(self, pod: dict[str, Any]) -> None:
        """Delete this very pod, not another of its name, and wait until it is gone, but not for a node that is."""
        name, uid = pod["metadata"]["name"], pod["metadata"].get("uid")
        body = {"preconditions": {"uid": uid}} if uid else {}
        self._json("delete_namespaced_pod", name=name, body=body, unless=(404, 409))  # 409: another one
        ends = time.monotonic() + GONE_WITHIN + (pod["spec"].get("terminationGracePeriodSeconds") or 0)
        while time.monotonic() < ends:
            current = self.read(name)
            if current is None or current["metadata"].get("uid") != uid:
                return
            time.sleep(0.2)

    def _items(self, call: str, **arguments: Any) -> list[dict[str, Any]]:
        return list((self._json(call, **arguments) or {}).get("items") or ())

    def _json(self, call: str, unless: tuple[int, ...] = (), **arguments: Any) -> dict[str, Any] | None:
        data = self._request(call, unless, **arguments)
        return None if data is None else json.loads(data)

    def _request(self, call: str, unless: tuple[int, ...] = (), **arguments: Any) -> bytes | None:
        """Repeat a request until the API answers, for a while; return None for a status in ``unless``.

        :raises MLOpsError: what its refusal means.
        """
        from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import generic_api_retry
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError

        def request() -> bytes | None:
            try:
                answer = getattr(self._hook.core_v1_client, call)(
                    namespace=self.namespace, _preload_content=False, **arguments
                )
            except ApiException as error:
                if error.status in unless:  # here, since the helper repeats a 409
                    return None
                raise
            return bytes(answer.data)

        try:
            answer: bytes | None = generic_api_retry(request)()
        except ApiException as error:
            raise refusal(error.status or 503, error.body or error.reason).exception() from None
        except HTTPError as error:
            raise BackendError(f"the Kubernetes API cannot be reached: {str(error)[:500]}") from None
        except ConfigException as error:
            raise ConfigurationError(f"there is no way to a Kubernetes cluster: {error}") from None
        return answer
