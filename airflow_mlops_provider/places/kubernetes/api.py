"""The few things that are asked of the Kubernetes API, on its own JSON, each again while the API is unwell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError
from airflow_mlops_provider.places.kubernetes.decisions.facts import CONTAINER
from airflow_mlops_provider.places.kubernetes.decisions.identity import DECIDED
from airflow_mlops_provider.places.kubernetes.decisions.table import refused

#: Of a pod's log; a node keeps 10 MiB by default before it begins anew.
LONGEST_LOG = 64 * 1024 * 1024
GONE_WITHIN = 15


class PodApi:
    """The pods of one namespace, through an Airflow connection to the cluster.

    :param hook: a ``KubernetesHook``.
    :param namespace: by default the connection's, then ``otherwise``, then ``default``.
    """

    def __init__(self, hook: Any, namespace: str | None = None, otherwise: str | None = None) -> None:
        self.hook = hook
        self._namespace, self._otherwise = namespace, otherwise

    @cached_property
    def namespace(self) -> str:
        """Where the pods are."""
        return self._namespace or self.hook.get_namespace() or self._otherwise or "default"

    @cached_property
    def _client(self) -> Any:
        return self.hook.core_v1_client

    def plain(self, pod: Any) -> dict[str, Any]:
        """Return a ``V1Pod`` as the API's JSON."""
        made: dict[str, Any] = self.hook.api_client.sanitize_for_serialization(pod)
        return made

    def create(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Create a pod; one of the same name is the same pod, whose creation was answered to nobody."""
        made = self._json("create_namespaced_pod", body=pod, unless=(409,))
        found = made if made is not None else self.read(pod["metadata"]["name"])
        if found is None:
            raise BackendError(f"pod {pod['metadata']['name']} was there and is gone; a retry makes it anew")
        return found

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a pod; None if there is none of that name."""
        return self._json("read_namespaced_pod", name=name, unless=(404,))

    def find(self, selector: str) -> list[dict[str, Any]]:
        """Return the pods that a label selector means."""
        found = self._json("list_namespaced_pod", label_selector=selector) or {}
        return list(found.get("items") or ())

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events about a pod, also about one that is gone; none if we may not read them."""
        try:
            found = self._json("list_namespaced_event", field_selector=f"involvedObject.name={name}") or {}
        except (BackendError, ConfigurationError):  # they only explain; whatever is decided, is decided without them
            return []
        return list(found.get("items") or ())

    def log(self, name: str, **query: Any) -> bytes | None:
        """Return what the job's container has printed; None if nobody can tell any more, or not yet."""
        query = {"timestamps": True, "limit_bytes": LONGEST_LOG, **query}
        try:
            return self._ask("read_namespaced_pod_log", name=name, container=CONTAINER, **query)
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
            left = self.read(name)
            if left is None or left["metadata"].get("uid") != uid:
                return
            time.sleep(0.2)

    def _json(self, call: str, unless: tuple[int, ...] = (), **arguments: Any) -> dict[str, Any] | None:
        data = self._ask(call, unless, **arguments)
        return None if data is None else json.loads(data)

    def _ask(self, call: str, unless: tuple[int, ...] = (), **arguments: Any) -> bytes | None:
        def once() -> bytes | None:
            from kubernetes.client.exceptions import ApiException

            try:
                answer = getattr(self._client, call)(namespace=self.namespace, _preload_content=False, **arguments)
                return bytes(answer.data)
            except ApiException as error:
                if error.status in unless:
                    return None
                raise

        return self._answer(once)

    def _answer(self, ask: Callable[[], bytes | None]) -> bytes | None:
        """Ask until the API answers, for a while. :raises MLOpsError: what its refusal means."""
        from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import generic_api_retry
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError

        try:
            answer: bytes | None = generic_api_retry(ask)()
        except ApiException as error:
            raise refused(error.status or 503, _text(error.body) or str(error.reason)).exception() from None
        except HTTPError as error:
            raise BackendError(f"the Kubernetes API cannot be reached: {str(error)[:500]}") from None
        except ConfigException as error:
            raise ConfigurationError(f"there is no way to a Kubernetes cluster: {error}") from None
        return answer


def _text(body: Any) -> str:
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
