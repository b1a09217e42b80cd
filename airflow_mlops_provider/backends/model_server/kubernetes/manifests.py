"""From what is declared to the Deployment and the Service of a model server. Pure: no cluster is contacted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_mlops_provider.backends.signing import PUBLIC_VARIABLE
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.serving.target import KubernetesDeployment

CONTAINER = "server"
INSTANCE = "app.kubernetes.io/instance"
#: On the Deployment: what was applied, as JSON, by which it is brought back. On its pods: by which template they run.
APPLIED, TEMPLATE = "mlops/applied", "mlops/template"
#: As in the image, and in the Helm chart.
USER = 50000


def manifests(
    target: KubernetesDeployment,
    product: str,
    root: str,
    port: int,
    options: Sequence[str],
    environment: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the Service and the Deployment of a product's server, as the API's JSON.

    :param options: of the server's command line, beside what the target says.
    :raises ConfigurationError: if the artifact root is a folder that the pods don't mount.
    """
    _refuse_unmounted(target, root)
    name = target.name_for(product)
    selector = {"app.kubernetes.io/name": "mlops-model-server", INSTANCE: name}
    labels = {**selector, "app.kubernetes.io/managed-by": "airflow-mlops", "mlops/product": product}
    meta = {"name": name, "labels": labels, **({"namespace": target.namespace} if target.namespace else {})}
    ports = [{"name": "http", "port": target.port, "targetPort": "http"}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": selector, "ports": ports}}
    pod = _pod(target, _arguments(target, product, root, port, options), port, environment)
    template = {"metadata": {"labels": labels, "annotations": {TEMPLATE: digest(pod)[:16]}}, "spec": pod}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            **({"replicas": target.replicas} if target.replicas else {}),
            "selector": {"matchLabels": selector},
            # The one before goes only when the new one can predict.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "progressDeadlineSeconds": target.rollout_seconds,
            "revisionHistoryLimit": 3,
            "template": template,
        },
    }
    return service, deployment


def noted(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return a Deployment that carries what it was applied as."""
    meta = {**deployment["metadata"], "annotations": {APPLIED: json.dumps(deployment, sort_keys=True)}}
    return {**deployment, "metadata": meta}


def applied(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what a Deployment was applied as; None if there is none, or it was never applied by us."""
    text = ((found or {}).get("metadata", {}).get("annotations") or {}).get(APPLIED)
    return json.loads(text) if text else None


def serves(manifest: Mapping[str, Any], product: str, root: str) -> bool:
    """Say whether a Deployment serves a product of an artifact root: another team's may have the same name."""
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return {*_escaped([f"--product={product}", f"--root={root}"])} <= {*container["args"]}


def template_of(manifest: Mapping[str, Any]) -> str | None:
    """Return by which template a pod runs, or a Deployment makes its pods."""
    meta = manifest["spec"]["template"]["metadata"] if "template" in manifest["spec"] else manifest["metadata"]
    name: str | None = (meta.get("annotations") or {}).get(TEMPLATE)
    return name


def _arguments(target: KubernetesDeployment, product: str, root: str, port: int, options: Sequence[str]) -> list[str]:
    own = ["--host=0.0.0.0", f"--port={port}", f"--product={product}", f"--root={root}"]
    state = target.state
    kept = [f"--feature-store={state}/feast", f"--prediction-log={state}/predictions/rest"] if state else []
    line = ["python", "-m", "airflow_mlops_provider.serving", *own, *kept, *options]
    return _escaped([*line, *(["--no-token"] if target.no_token else [])])


def _escaped(line: Sequence[str]) -> list[str]:
    """Return a command line that stays as it is: Kubernetes would put a variable's value in the place of $(NAME)."""
    return [word.replace("$(", "$$(") for word in line]


def _pod(
    target: KubernetesDeployment, arguments: list[str], port: int, environment: Mapping[str, str]
) -> dict[str, Any]:
    # By which key models are verified is no secret, and a server that was not told would load unsigned ones.
    handed = {PUBLIC_VARIABLE: environment[PUBLIC_VARIABLE]} if environment.get(PUBLIC_VARIABLE) else {}
    plain = {"HOME": "/tmp", "XDG_CACHE_HOME": "/tmp/cache", **handed, **target.env}  # noqa: S108 - a volume of its own
    by_reference = [
        {"name": name, "valueFrom": {"secretKeyRef": key.to_json()}} for name, key in target.secrets.items()
    ]
    container = {
        "name": CONTAINER,
        "image": target.image,
        "args": arguments,
        "env": [*({"name": name, "value": value} for name, value in plain.items()), *by_reference],
        "ports": [{"name": "http", "containerPort": port}],
        # Loading the libraries takes a while where processors are slow or shared.
        "startupProbe": _probe("/health", periodSeconds=3, failureThreshold=60),
        "livenessProbe": _probe("/health", periodSeconds=10, timeoutSeconds=5, failureThreshold=6),
        "readinessProbe": _probe("/ready", periodSeconds=5, timeoutSeconds=5, failureThreshold=2),
        # Until every node has heard that this pod is leaving the Service.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        "resources": {
            "requests": {"cpu": target.cpu, "memory": target.memory},
            "limits": {"memory": target.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of its own
            *(volume.mount(f"mlops-{number}") for number, volume in enumerate(target.volumes)),
        ],
    }
    optional = {
        "serviceAccountName": target.service_account,
        "imagePullSecrets": [{"name": name} for name in target.image_pull_secrets],
        "nodeSelector": dict(target.node_selector),
        "tolerations": [{key: value for key, value in one.to_json().items() if value} for one in target.tolerations],
    }
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": 0,
            "fsGroup": 0,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 30,
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            *({"name": f"mlops-{number}", **volume.source()} for number, volume in enumerate(target.volumes)),
        ],
        **{name: value for name, value in optional.items() if value},
    }


def _probe(path: str, **timing: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}, **timing}


def _refuse_unmounted(target: KubernetesDeployment, root: str) -> None:
    """Refuse a folder as artifact root that pods don't share: they would find neither ledger nor models."""
    if re.match(r"(?!file:)\w+://", root):
        return
    folder = unquote(urlsplit(root).path) if "://" in root else root
    mounts = [volume.path.rstrip("/") for volume in target.volumes]
    if not any(folder == mount or folder.startswith(f"{mount}/") for mount in mounts):
        raise ConfigurationError(
            f"the artifact root is the folder {folder}, and the model server's pods mount "
            f"{', '.join(mounts) or 'nothing'}: add Volume(path={folder!r}, claim=…), or use a bucket"
        )
