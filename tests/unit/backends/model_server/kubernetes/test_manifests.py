"""Deployment and Service: closed, by digest, valid by Kubernetes' schema; and when they have rolled out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_mlops_provider.backends.model_server.kubernetes import manifests as made
from airflow_mlops_provider.backends.model_server.kubernetes.progress import hindered, in_vain, rolled_out
from airflow_mlops_provider.backends.signing import PUBLIC_VARIABLE
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.serving.pods import SecretKey, Toleration, Volume
from airflow_mlops_provider.lifecycle.serving.target import KubernetesDeployment
from airflow_mlops_provider.serving.__main__ import parser

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs the dev extra: pip install -e '.[dev]'")
TARGET = KubernetesDeployment(
    image=f"registry.example/shop@sha256:{'a' * 64}",
    replicas=2,
    secrets={"MLOPS_SERVING_TOKEN": SecretKey(name="serving", key="token")},
    volumes=(Volume(path="/mlops", claim="mlops"),),
    state="/mlops/shop",
    service_account="servers",
    image_pull_secrets=("puller",),
    node_selector={"pool": "serving"},
    tolerations=(Toleration(key="serving", operator="Exists"),),
)


def manifests(target: KubernetesDeployment = TARGET, root: str = "/mlops", **environment: str) -> Any:
    """Return Service and Deployment."""
    return made.manifests(target, "shop", root, 8900, ("--online-store", '{"type": "$(HOME)"}'), environment)


def test_they_are_valid_and_what_the_server_takes() -> None:
    """By the schema of the oldest cluster; the server's own command line reads the arguments."""
    service, deployment = manifests()
    for manifest in (service, made.noted(deployment)):
        kubernetes_validate.validate(manifest, "1.25", strict=True)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    words = [word.replace("$$(", "$(") for word in container["args"]]
    options = parser().parse_args(words[3:])
    assert (options.product, options.root, options.port) == ("shop", "/mlops", 8900)
    assert options.online_store == {"type": "$(HOME)"} and not options.no_token
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]


def test_what_was_applied_can_be_applied_again() -> None:
    """An annotation holds it; another image is another template, the same one is the same."""
    _, deployment = manifests()
    found = json.loads(json.dumps({**made.noted(deployment), "status": {}}))
    assert made.applied(found) == deployment
    assert made.applied(None) is None and made.applied({"metadata": {}}) is None
    other = manifests(TARGET.model_copy(update={"image": f"shop@sha256:{'b' * 64}"}))[1]
    assert made.template_of(deployment) == made.template_of(manifests()[1]) != made.template_of(other)


def test_the_key_that_verifies_models_is_handed_on() -> None:
    """And nothing else of the job's environment."""
    (container,) = manifests(**{PUBLIC_VARIABLE: "a key", "MLOPS_SERVING_TOKEN": "a secret"})[1]["spec"]["template"][
        "spec"
    ]["containers"]
    assert {"name": PUBLIC_VARIABLE, "value": "a key"} in container["env"]
    assert "a secret" not in json.dumps(container)


def test_an_autoscaler_keeps_its_number() -> None:
    """Without a number of replicas none is applied."""
    assert "replicas" not in manifests(TARGET.model_copy(update={"replicas": None}))[1]["spec"]


@pytest.mark.parametrize("root", ["/other", "file:///other", "/mlops-other"])
def test_a_folder_that_is_not_mounted_is_refused(root: str) -> None:
    """Pods would find neither ledger nor models; a bucket needs no mount."""
    with pytest.raises(ConfigurationError, match=r"pods mount /mlops: add Volume\(path="):
        manifests(root=root)
    manifests(root="s3://bucket/models")


@pytest.mark.parametrize(
    ("status", "done"),
    [
        ({}, False),
        ({"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}, False),
        ({"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 2, "replicas": 3}, False),
        ({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 1, "replicas": 2}, False),
        ({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 3}, False),
        ({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}, True),
    ],
)
def test_it_has_rolled_out_when_only_new_pods_are_left(status: dict[str, int], done: bool) -> None:
    """As many as were wanted, all ready, and the cluster has seen what was applied."""
    assert rolled_out({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status})[0] is done


def test_why_a_pod_is_not_ready() -> None:
    """In vain, or not yet; with what its container died of, and the scheduler's own words."""
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    crashed = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": ended}
    pulling = {"state": {"waiting": {"reason": "ContainerCreating"}}}
    assert in_vain(pod(crashed)) == "CrashLoopBackOff: back-off; it ended with status 137 (OOMKilled)"
    assert in_vain(pod(pulling)) is None and hindered(pod(pulling)) == "ContainerCreating"
    assert hindered(pod({"state": {"running": {}}})) == "its container runs, and is not ready"
    unplaced = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    assert hindered({"status": {"conditions": [unplaced]}}) == "no node takes it: 0/3 nodes are available"
    assert hindered({}) == "its container has not begun"


def pod(status: dict[str, Any]) -> dict[str, Any]:
    """Return a pod of one container."""
    return {"metadata": {"name": "one"}, "status": {"containerStatuses": [status]}}
