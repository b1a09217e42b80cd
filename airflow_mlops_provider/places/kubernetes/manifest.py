"""From a pod's settings and a job's specification to the v1 Pod that runs it. Pure: no cluster is contacted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_mlops_provider.backends.signing import PUBLIC_VARIABLE
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.kubernetes.decisions import identity as pod_identity
from airflow_mlops_provider.places.kubernetes.decisions.facts import CONTAINER
from airflow_mlops_provider.places.kubernetes.settings import PodSettings
from airflow_mlops_provider.places.kubernetes.template import merge, read
from airflow_mlops_provider.runtime.runner import IMAGE_VARIABLE
from airflow_mlops_provider.storage.layout import product_key

GPU = "nvidia.com/gpu"
GPU_TYPE = "nvidia.com/gpu.product"
COMMAND = ("python", "-m", "airflow_mlops_provider.runtime")
#: Linux takes no longer single argument (MAX_ARG_STRLEN, 32 pages), its closing zero included.
LONGEST_ARGUMENT = 32 * 4096 - 1
#: A value of so many characters is looked for in the whole pod; a shorter one may be any word.
LONG = 12
#: What connections hold beside credentials: where a bucket is, and by which public key models are verified.
ADDRESSES = {"AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL", PUBLIC_VARIABLE}
#: User names are no secrets: they may also be given in ``env``.
USERS = {"MLFLOW_TRACKING_USERNAME"}
#: What holds unless the template or a field says otherwise.
DEFAULTS: dict[str, Any] = {
    "spec": {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": CONTAINER,
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
}


def pod_manifest(
    settings: PodSettings,
    spec: JobSpec,
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    memory: str | None = None,
    seconds: int | None = None,
    unique: str = "",
) -> dict[str, Any]:
    """Return the v1 Pod that runs a job, as the API's JSON.

    :param environment: what the connections hold for the job; of credentials only the names are used.
    :param memory: in place of the settings'.
    :param seconds: the time that the task has left, if that is less than the settings' deadline.
    :param unique: see :func:`~.identity.pod_name`.
    :raises ConfigurationError: if a credential has no reference, the specification is too long, or a folder that is
        the artifact root is not mounted.
    """
    refuse_unreferenced(settings, environment)
    name = pod_identity.pod_name(spec.run, unique)
    container = _container(settings, environment, memory or settings.memory)
    own = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **_metadata(settings, spec)},
        "spec": {**_pod_spec(settings, seconds), "containers": [{**container, "args": arguments(spec, name)}]},
    }
    pod: dict[str, Any] = merge(merge(DEFAULTS, read(settings.pod_template)), own)
    _refuse_unmounted(pod, spec)
    _refuse_values(pod, environment)
    return pod


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
    arguments = job_container(pod).get("args") or []
    text = arguments[arguments.index("--spec") + 1] if "--spec" in arguments[:-1] else None
    return JobSpec.model_validate_json(text) if text else None


def job_container(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the container of a pod that runs its job; empty if there is none."""
    containers = pod.get("spec", {}).get("containers") or ()
    return next((container for container in containers if container.get("name") == CONTAINER), {})


def manifest_copy_key(spec: JobSpec, pod: str) -> str:
    """Return the folder, below the artifact root, in which a pod leaves its copy of the manifest, and we its log.

    The manifest's own address is known to the pod alone: it depends on the packages in its image.
    """
    return product_key(spec.product, "pods", pod)


def refuse_unreferenced(settings: PodSettings, environment: Mapping[str, str]) -> None:
    """Refuse credentials that the connections hold and the pod would lack. The values themselves never go there."""
    given = settings.secrets.keys() | ADDRESSES | (USERS & settings.env.keys())
    if missing := sorted(name for name in environment if name not in given):
        example = ", ".join(f'"{name}": SecretKey(name="mlops", key="{name.lower()}")' for name in missing)
        raise ConfigurationError(
            f"the connections hold {', '.join(missing)}, which a pod gets by reference only: put them into a "
            f"Kubernetes secret and write secrets={{{example}}}, or None where the pod has another way in"
        )


def _metadata(settings: PodSettings, spec: JobSpec) -> dict[str, Any]:
    namespace = {"namespace": settings.namespace} if settings.namespace else {}
    labels = {**settings.labels, **pod_identity.labels(spec.run, spec.product, spec.job)}
    annotations = {**settings.annotations, **pod_identity.full_ids(spec.run)}
    return {**namespace, "labels": labels, "annotations": annotations}


def _pod_spec(settings: PodSettings, seconds: int | None) -> dict[str, Any]:
    gpu_type = {GPU_TYPE: settings.gpu_type} if settings.gpu_type else {}
    gpu_taint = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}] if settings.gpus else []
    optional = {
        "nodeSelector": {**gpu_type, **settings.node_selector},
        "tolerations": [*(_filled(toleration.to_json()) for toleration in settings.tolerations), *gpu_taint],
        "serviceAccountName": settings.service_account,
        "priorityClassName": settings.priority_class,
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
        "volumes": [{"name": f"mlops-{n}", **volume.source()} for n, volume in enumerate(settings.volumes)],
    }
    longest = settings.active_deadline_seconds
    return {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": min(longest, seconds or longest),
        "terminationGracePeriodSeconds": settings.termination_grace_seconds,
        **_filled(optional),
    }


def _container(settings: PodSettings, environment: Mapping[str, str], memory: str | None) -> dict[str, Any]:
    bounded = _filled({"memory": memory, GPU: str(settings.gpus) if settings.gpus else None})
    digest = {IMAGE_VARIABLE: settings.image.partition("@")[2]}
    addresses = {name: value for name, value in environment.items() if name in ADDRESSES}
    plain = {**addresses, **_filled(digest), **settings.env}
    optional = {
        "resources": _filled({"requests": _filled({"cpu": settings.cpu, **bounded}), "limits": bounded}),
        "volumeMounts": [volume.mount(f"mlops-{n}") for n, volume in enumerate(settings.volumes)],
        "imagePullPolicy": settings.image_pull_policy,
    }
    env = [
        *({"name": name, "value": value} for name, value in plain.items()),
        *(
            {"name": name, "valueFrom": {"secretKeyRef": key.to_json()}}
            for name, key in settings.secrets.items()
            if key
        ),
    ]
    return {"name": CONTAINER, "image": settings.image, "env": env, **_filled(optional)}


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _refuse_unmounted(pod: dict[str, Any], spec: JobSpec) -> None:
    """Refuse a folder as artifact root that the pod does not share: its manifest would be gone with it."""
    if "://" in spec.root and not spec.root.startswith("file://"):
        return
    folder = unquote(urlsplit(spec.root).path) if "://" in spec.root else spec.root
    mounts = [mount["mountPath"].rstrip("/") for mount in job_container(pod).get("volumeMounts") or ()]
    if not any(folder == mount or folder.startswith(f"{mount}/") for mount in mounts):
        raise ConfigurationError(
            f"the artifact root is the folder {folder}, and the pod mounts {', '.join(mounts) or 'nothing'}: "
            f"add Volume(path={folder!r}, claim=…) that every worker shares, or use a bucket"
        )


def _refuse_values(pod: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Refuse a credential's value in the pod. A short one is looked for among variables only."""
    spec, text = pod["spec"], json.dumps(pod, ensure_ascii=False)
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    literals = {variable.get("value") for container in containers for variable in container.get("env") or ()}
    for name, value in environment.items():
        if name not in ADDRESSES | USERS and (value in literals or (len(value) >= LONG and value in text)):
            raise ConfigurationError(f"the value of {name} is in the pod's manifest; give it by reference only")
