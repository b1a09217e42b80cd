"""From a place's settings and a job's specification to the v1 Pod that runs it. Pure: nothing is asked or sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.kubernetes.decisions import identity as pod_identity
from airflow_mlops_provider.places.kubernetes.decisions.facts import CONTAINER
from airflow_mlops_provider.places.kubernetes.template import merge, read
from airflow_mlops_provider.storage.layout import product_key

if TYPE_CHECKING:
    from airflow_mlops_provider.places.kubernetes.place import KubernetesPod

GPU = "nvidia.com/gpu"
GPU_TYPE = "nvidia.com/gpu.product"
IMAGE_VARIABLE = "MLOPS_IMAGE_DIGEST"
COMMAND = ("python", "-m", "airflow_mlops_provider.runtime")
#: Linux takes no longer single argument (MAX_ARG_STRLEN, 32 pages), its closing zero included.
LONGEST_ARGUMENT = 32 * 4096 - 1
LONG = 12
#: What connections say beside credentials: where a bucket is.
ADDRESSES = {"AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL"}
#: Under what name people keep them; who is asked for a user name may also give it in ``env``.
USERS = {"MLFLOW_TRACKING_USERNAME"}
#: What holds unless the template or a field says otherwise.
DEFAULTS: dict[str, Any] = {
    "spec": {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
}
CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def manifest(
    place: KubernetesPod,
    spec: JobSpec,
    environment: Mapping[str, str],
    *,
    memory: str | None,
    seconds: int | None,
    unique: str,
) -> dict[str, Any]:
    """Return the pod that runs a job, as the API's JSON.

    :param environment: what the connections hold for the job; of credentials only the names are used.
    :param memory: in place of the place's own.
    :param seconds: the time that the task has left, if that is less than the place's own deadline.
    :param unique: see :func:`~.pod_identity.pod_name`.
    :raises ConfigurationError: if a credential has no reference, the specification is too long, or a folder that is
        the artifact root is not mounted.
    """
    refuse_unreferenced(place, environment)
    name = pod_identity.pod_name(spec.run, unique)
    addresses = {name: value for name, value in environment.items() if name in ADDRESSES}
    base = {**_base(place, memory or place.memory), "args": arguments(spec, name), "env": _env(place, addresses)}
    own = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **_metadata(place, spec)},
        "spec": {**_pod_spec(place, seconds), "containers": [base]},
    }
    defaults = merge(DEFAULTS, {"spec": {"containers": [{"name": CONTAINER, "securityContext": CONFINED}]}})
    made: dict[str, Any] = merge(merge(defaults, read(place.pod_template)), own)
    _refuse_unmounted(made, spec)
    _refuse_values(made, environment)
    return made


def arguments(spec: JobSpec, pod: str) -> list[str]:
    """Return the container's arguments. :raises ConfigurationError: if the specification is too long for one."""
    text = spec.model_dump_json().replace("$", "\\u0024")  # Kubernetes would expand $(…); in JSON this means the same
    if len(text.encode()) > LONGEST_ARGUMENT:
        raise ConfigurationError(
            f"the specification of job {spec.job!r} has {len(text.encode())} bytes, and an argument takes "
            f"{LONGEST_ARGUMENT}: pass data by reference, not in params"
        )
    return [*COMMAND, "--spec", text, "--manifest-copy", manifest_copy_key(spec, pod)]


def spec_of(pod: dict[str, Any]) -> JobSpec | None:
    """Return the specification of the job that a pod runs; None if it runs none."""
    for container in pod.get("spec", {}).get("containers") or ():
        given = container.get("args") or []
        if container.get("name") == CONTAINER and "--spec" in given[:-1]:
            return JobSpec.model_validate_json(given[given.index("--spec") + 1])
    return None


def manifest_copy_key(spec: JobSpec, pod: str) -> str:
    """Return the folder, below the artifact root, in which a pod leaves its copy of the manifest, and we its log.

    The manifest's own address is known to the pod alone: it depends on the packages in its image.
    """
    return product_key(spec.product, "pods", pod)


def refuse_unreferenced(place: KubernetesPod, environment: Mapping[str, str]) -> None:
    """Refuse credentials that the connections hold and the pod would lack. The values themselves never go there."""
    given = place.secrets.keys() | ADDRESSES | (USERS & place.env.keys())
    if missing := sorted(name for name in environment if name not in given):
        example = ", ".join(f'"{name}": SecretKey(name="mlops", key="{name.lower()}")' for name in missing)
        raise ConfigurationError(
            f"the connections hold {', '.join(missing)}, which a pod gets by reference only: put them into a "
            f"Kubernetes secret and write secrets={{{example}}}, or None where the pod has another way in"
        )


def _metadata(place: KubernetesPod, spec: JobSpec) -> dict[str, Any]:
    namespace = {"namespace": place.namespace} if place.namespace else {}
    labels = {**place.labels, **pod_identity.labels(spec.run, spec.product, spec.job)}
    annotations = {**place.annotations, **pod_identity.full_ids(spec.run)}
    return {**namespace, "labels": labels, "annotations": annotations}


def _pod_spec(place: KubernetesPod, seconds: int | None) -> dict[str, Any]:
    gpu_type = {GPU_TYPE: place.gpu_type} if place.gpu_type else {}
    gpu_taint = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}] if place.gpus else []
    further = {
        "nodeSelector": {**gpu_type, **place.node_selector},
        "tolerations": [*(_filled(one.to_json()) for one in place.tolerations), *gpu_taint],
        "serviceAccountName": place.service_account,
        "priorityClassName": place.priority_class,
        "imagePullSecrets": [{"name": name} for name in place.image_pull_secrets],
        "volumes": [{"name": f"mlops-{n}", **volume.source()} for n, volume in enumerate(place.volumes)],
    }
    deadline = min(place.active_deadline_seconds, seconds or place.active_deadline_seconds)
    return {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": max(1, deadline),
        "terminationGracePeriodSeconds": place.termination_grace_seconds,
        **_filled(further),
    }


def _base(place: KubernetesPod, memory: str | None) -> dict[str, Any]:
    bounded = _filled({"memory": memory, GPU: str(place.gpus) if place.gpus else None})
    resources = _filled({"requests": _filled({"cpu": place.cpu, **bounded}), "limits": bounded})
    mounts = [volume.mount(f"mlops-{n}") for n, volume in enumerate(place.volumes)]
    further = {"resources": resources, "volumeMounts": mounts, "imagePullPolicy": place.image_pull_policy}
    return {"name": CONTAINER, "image": place.image, **_filled(further)}


def _env(place: KubernetesPod, addresses: dict[str, str]) -> list[dict[str, Any]]:
    digest = place.image.partition("@")[2]
    plain = {**addresses, **({IMAGE_VARIABLE: digest} if digest else {}), **place.env}
    referenced = {name: key for name, key in place.secrets.items() if key is not None}
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        *({"name": name, "valueFrom": {"secretKeyRef": key.to_json()}} for name, key in referenced.items()),
    ]


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _refuse_unmounted(pod: dict[str, Any], spec: JobSpec) -> None:
    """Refuse a folder as artifact root that the pod does not share: its manifest would be gone with it."""
    if "://" in spec.root and not spec.root.startswith("file://"):
        return
    (base,) = (one for one in pod["spec"]["containers"] if one["name"] == CONTAINER)
    folder = unquote(urlsplit(spec.root).path) if "://" in spec.root else spec.root
    mounts = [mount["mountPath"].rstrip("/") for mount in base.get("volumeMounts") or ()]
    if not any(folder == mount or folder.startswith(f"{mount}/") for mount in mounts):
        raise ConfigurationError(
            f"the artifact root is the folder {folder}, and the pod mounts {', '.join(mounts) or 'nothing'}: "
            f"add Volume(path={folder!r}, claim=…) that every worker shares, or use a bucket"
        )


def _refuse_values(pod: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Refuse a credential's value in the pod. A short one is looked for among variables only: it may be any word."""
    spec, text = pod["spec"], json.dumps(pod, ensure_ascii=False)
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    literals = {one.get("value") for container in containers for one in container.get("env") or ()}
    for name, value in environment.items():
        if name not in ADDRESSES | USERS and (value in literals or (len(value) >= LONG and value in text)):
            raise ConfigurationError(f"the value of {name} stands in the pod's manifest; give it by reference only")
