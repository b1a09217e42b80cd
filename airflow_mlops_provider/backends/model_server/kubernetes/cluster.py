"""The few requests to the Kubernetes API that a deployment makes, each repeated while the API is unwell."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, MLOpsError
from airflow_mlops_provider.lifecycle.serving.target import KUBECONFIG_VARIABLE

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

#: Who owns the fields that a deployment applies, for Kubernetes and for whoever looks.
MANAGER = "airflow-mlops"
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
APPLY = "application/apply-patch+yaml"
#: Seconds for which the API may be unwell; between two tries; and for one request.
UNWELL, PAUSE, REQUEST = 60.0, 1.0, 20.0
TOO_MANY = 429
LOG_LINES = 20
RIGHTS = "give the job's account the role in helm/deployer.yaml"


class Cluster:
    """One namespace of a cluster, with the rights of the job.

    The way to it is the kubeconfig that the connection holds, then the service account of the pod that this runs in,
    then the usual kubeconfig file.

    :param namespace: by default this pod's own, or the kubeconfig's.
    """

    def __init__(self, namespace: str | None) -> None:
        self._namespace = namespace

    @cached_property
    def _way(self) -> tuple[ApiClient, str]:
        """The client, and the namespace that comes with the way in."""
        from kubernetes import client, config

        given = os.environ.get(KUBECONFIG_VARIABLE)
        try:
            if not given and OWN_NAMESPACE.exists():
                settings = client.Configuration()
                config.load_incluster_config(settings)
                return client.ApiClient(settings), OWN_NAMESPACE.read_text().strip()
            if given:
                kubeconfig = yaml.safe_load(given)
                contexts = {one["name"]: one["context"] for one in kubeconfig["contexts"]}
                context = contexts[kubeconfig["current-context"]]
                return config.new_client_from_config_dict(kubeconfig), context.get("namespace", "default")
            _, current = config.list_kube_config_contexts()
            return config.new_client_from_config(), current["context"].get("namespace", "default")
        except (config.ConfigException, yaml.YAMLError, KeyError, TypeError) as error:
            where = (
                "the kubeconfig of the connection mlops_model_server" if given else "a service account or kubeconfig"
            )
            raise ConfigurationError(f"there is no way to a Kubernetes cluster by the {where}: {error}") from None

    @property
    def namespace(self) -> str:
        return self._namespace or self._way[1]

    def apply(self, manifest: dict[str, Any]) -> None:
        """Have an object be as a manifest says, made or changed, whoever else has set those fields."""
        apis = {"Deployment": ("AppsV1Api", "deployment"), "Service": ("CoreV1Api", "service")}
        api, kind = apis[manifest["kind"]]
        self._ask(
            f"apply {kind} {manifest['metadata']['name']}",
            api,
            f"patch_namespaced_{kind}",
            name=manifest["metadata"]["name"],
            body=manifest,
            field_manager=MANAGER,
            force=True,
            _content_type=APPLY,
        )

    def deployment(self, name: str) -> dict[str, Any] | None:
        """Return a Deployment; None if there is none of that name."""
        found = self._ask(f"read deployment {name}", "AppsV1Api", "read_namespaced_deployment", (404,), name=name)
        return None if found is None else json.loads(found)

    def pods(self, selector: str) -> list[dict[str, Any]]:
        """Return the pods that a label selector means, without those that are being deleted or have ended."""
        found = self._ask("list pods", "CoreV1Api", "list_namespaced_pod", label_selector=selector)
        return [
            pod
            for pod in json.loads(found or b"{}").get("items") or ()
            if not pod["metadata"].get("deletionTimestamp")
            and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        ]

    def log(self, pod: str, *, previous: bool) -> str:
        """Return the last lines of a pod's log; empty if they can't be had. :param previous: of the ended container."""
        with suppress(MLOpsError):  # they only explain
            said = self._ask(
                f"read the log of {pod}",
                "CoreV1Api",
                "read_namespaced_pod_log",
                (400, 404),
                name=pod,
                tail_lines=LOG_LINES,
                previous=previous,
            )
            return (said or b"").decode(errors="replace").strip()
        return ""

    def _ask(self, what: str, api: str, call: str, unless: tuple[int, ...] = (), **arguments: Any) -> bytes | None:
        """Return what the API answers; None for a status in ``unless``. :raises MLOpsError: what its refusal means."""
        from kubernetes import client

        ask = getattr(getattr(client, api)(self._way[0]), call)
        given = {"_preload_content": False, "_request_timeout": REQUEST, **arguments}
        return _patiently(lambda: bytes(ask(namespace=self.namespace, **given).data), what, self.namespace, unless)


def _patiently(ask: Callable[[], bytes], what: str, namespace: str, unless: tuple[int, ...]) -> bytes | None:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    end = time.monotonic() + UNWELL
    while True:
        try:
            return ask()
        except ApiException as error:
            if error.status in unless:
                return None
            why, lasting = _said(error), bool(error.status) and error.status < 500 and error.status != TOO_MANY
        except HTTPError as error:
            why, lasting = str(error)[:300], False
        if lasting:
            hint = f"; {RIGHTS}" if "forbidden" in why else ""
            raise ConfigurationError(f"the cluster does not {what} in namespace {namespace}: {why}{hint}")
        if time.monotonic() > end:
            raise BackendError(f"the Kubernetes API is unwell, to {what}: {why}")
        time.sleep(PAUSE)


def _said(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])[:600]
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"[:600]
