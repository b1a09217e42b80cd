"""A pod template: read, checked, and merged with the pod of a job. Lists are merged by name, never by position."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.serving.pods import CREDENTIAL
from airflow_mlops_provider.places.kubernetes.decisions.facts import CONTAINER

#: The field by which Kubernetes distinguishes the entries of a list; a list of any other name is one value.
KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "ports": "containerPort",
}
APPENDED = {"tolerations", "envFrom"}
NOT_IN_BASE = {
    "command": "it would replace the image's entry point, which passes signals on",
    "args": "they are the job's specification",
}


def read(template: dict[str, Any] | str | None) -> dict[str, Any]:
    """Return a pod template: itself, or the content of the YAML file that it names.

    :raises ConfigurationError: if it is no template for a job's pod; the message says what must change.
    """
    if template is None:
        return {}
    pod = _parse(template) if isinstance(template, str) else copy.deepcopy(template)
    if not isinstance(pod, dict) or pod.get("kind", "Pod") != "Pod" or pod.get("apiVersion", "v1") != "v1":
        raise ConfigurationError(f"the pod template {_named(template)} is no v1 Pod")
    spec = pod.get("spec") or {}
    if spec.get("restartPolicy", "Never") != "Never":
        raise ConfigurationError("the pod template's restartPolicy must be Never: Airflow decides on retries")
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        _check(container)
    return pod


def merge(below: Any, above: Any, field: str = "") -> Any:
    """Return one API object merged into another: a field that both have is taken from the upper one."""
    if isinstance(below, dict) and isinstance(above, dict):
        both = {key: merge(below[key], above[key], key) for key in below.keys() & above.keys()}
        return {key: both.get(key, value) for key, value in {**below, **above}.items()}
    if isinstance(below, list) and isinstance(above, list):
        if field in APPENDED:
            return [*below, *(entry for entry in above if entry not in below)]
        if key := KEYS.get(field):
            return _merge_by(key, below, above)
    return copy.deepcopy(above)


def _merge_by(key: str, below: list[dict[str, Any]], above: list[dict[str, Any]]) -> list[dict[str, Any]]:
    merged = {entry[key]: entry for entry in below}
    for entry in above:
        # A variable has a value or a source: merged, it would have both.
        whole = key == "name" and {"value", "valueFrom"} & entry.keys()
        lower = None if whole else merged.get(entry[key])
        merged[entry[key]] = merge(lower, entry)
    return list(merged.values())


def _check(container: dict[str, Any]) -> None:
    if "name" not in container:
        raise ConfigurationError(f"each container of the pod template needs a name; the job's is {CONTAINER!r}")
    for field, why in NOT_IN_BASE.items():
        if container["name"] == CONTAINER and container.get(field):
            raise ConfigurationError(f"the pod template must not set {field} of container {CONTAINER!r}: {why}")
    for variable in container.get("env") or ():
        if variable.get("value") and CREDENTIAL.search(variable.get("name", "")):
            raise ConfigurationError(
                f"the pod template holds {variable['name']} itself; give it by valueFrom.secretKeyRef"
            )


def _parse(path: str) -> Any:
    try:
        return yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"the pod template {path} cannot be read: {error}") from None


def _named(template: dict[str, Any] | str) -> str:
    return template if isinstance(template, str) else f"of kind {template.get('kind')!r}"
