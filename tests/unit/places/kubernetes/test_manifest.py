"""The pod that a place makes of a job: valid for Kubernetes, whole, and without any secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.places.kubernetes.decisions import identity as pod_identity
from airflow_mlops_provider.places.kubernetes.manifest import pod_manifest, spec_of
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.kubernetes.settings import SecretKey, Toleration, Volume

IMAGE = "registry.example/trainer@sha256:" + "a1" * 32
RUN = RunIdentity(
    dag_id="shop.training", run_id="manual__2024-01-01T00:00:00+00:00", task_id="training.train", try_number=2
)
KEY = SecretKey(name="mlflow", key="password")
FULL = KubernetesPod(
    image=IMAGE,
    image_pull_policy="IfNotPresent",
    image_pull_secrets=("registry",),
    cpu=2,
    memory="4Gi",
    gpus=2,
    gpu_type="NVIDIA-H100-80GB-HBM3",
    node_selector={"pool": "training"},
    tolerations=(Toleration(key="spot", operator="Exists"),),
    service_account="trainer",
    namespace="ml",
    priority_class="batch",
    volumes=(
        Volume(path="/mlops", claim="mlops", sub_path="root"),
        Volume(path="/certificates", secret="ca", read_only=True),
        Volume(path="/settings", config_map="settings"),
        Volume(path="/dev/shm", empty_dir="2Gi", in_memory=True),
        Volume(path="/cache", host_path="/var/cache"),
    ),
    secrets={"MLFLOW_TRACKING_PASSWORD": KEY},
    env={"OMP_NUM_THREADS": "2"},
    labels={"team": "shop"},
    annotations={"cost-centre": "42"},
)


def spec(**fields: Any) -> JobSpec:
    """Return a specification whose artifact root is a bucket."""
    services = Services(landing="s3://landing", mlflow="http://mlflow:5000")
    return JobSpec(
        **{"job": "train", "product": "shop", "root": "s3://models/mlops", "services": services, "run": RUN, **fields}
    )


def base(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the job's container."""
    (found,) = (one for one in pod["spec"]["containers"] if one["name"] == "base")
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("version", ["1.28", "1.31", "1.34"])
def test_valid_for_kubernetes(version: str) -> None:
    """The pod is what Kubernetes' own schema wants, no field beside it, in old and new releases."""
    for place in (KubernetesPod(image="trainer:1"), FULL):
        kubernetes_validate.validate(pod_manifest(place, spec()), version, strict=True)


def test_every_field_arrives() -> None:
    """What the place is told stands in the pod."""
    pod = pod_manifest(FULL, spec(), {"MLFLOW_TRACKING_PASSWORD": "hunter2-hunter2", "AWS_DEFAULT_REGION": "eu-west-1"})
    told, container = pod["spec"], base(pod)
    assert container["image"] == IMAGE
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "2"},
        "limits": {"memory": "4Gi", "nvidia.com/gpu": "2"},
    }
    assert told["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "pool": "training"}
    assert {"key": "spot", "operator": "Exists"} in told["tolerations"]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in told["tolerations"]
    assert (told["serviceAccountName"], told["priorityClassName"]) == ("trainer", "batch")
    assert told["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["metadata"]["namespace"] == "ml"
    assert pod["metadata"]["labels"]["team"] == "shop"
    assert pod["metadata"]["annotations"]["cost-centre"] == "42"
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == [volume.path for volume in FULL.volumes]
    assert [sorted(set(volume) - {"name"}) for volume in told["volumes"]] == [
        ["persistentVolumeClaim"], ["secret"], ["configMap"], ["emptyDir"], ["hostPath"],
    ]  # fmt: skip
    assert {one["name"]: one.get("value") for one in container["env"]} == {
        "OMP_NUM_THREADS": "2",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "MLOPS_IMAGE_DIGEST": "sha256:" + "a1" * 32,
        "MLFLOW_TRACKING_PASSWORD": None,
    }


def test_every_pod_is_confined_and_bounded() -> None:
    """Without a word, a pod has no root, no rights, no token, one try, and an end; its image's entry point stays."""
    pod = pod_manifest(KubernetesPod(image="trainer"), spec())
    told, container = pod["spec"], base(pod)
    assert told["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert told["automountServiceAccountToken"] is False
    assert told["restartPolicy"] == "Never"
    assert told["activeDeadlineSeconds"] == 24 * 3600
    assert "command" not in container
    assert container["args"][:3] == ["python", "-m", "airflow_mlops_provider.runtime"]


def test_the_shorter_deadline_counts() -> None:
    """What the task has left shortens the pod's life, and never lengthens it."""
    place = KubernetesPod(image="trainer", active_deadline_seconds=100)
    assert [pod_manifest(place, spec(), seconds=left)["spec"]["activeDeadlineSeconds"] for left in (7, 100, 500)] == [
        7,
        100,
        100,
    ]


def test_the_specification_travels_whole() -> None:
    """The job's specification comes out as it went in, even what Kubernetes would expand."""
    asked = spec(params={"text": '$(HOME) $$(X) 100 $ \u00fc "quoted" \\'})
    pod = pod_manifest(KubernetesPod(image="trainer"), asked)
    assert spec_of(pod) == asked
    assert not [one for one in base(pod)["args"] if "$" in one]
    assert spec_of({"spec": {"containers": [{"name": "base", "args": ["--spec"]}]}}) is None


def test_too_long_a_specification_is_refused() -> None:
    """A specification that no argument can take is refused by its size, before a pod fails to start for it."""
    longest = 131071 - len(spec(params={"text": ""}).model_dump_json())
    pod_manifest(KubernetesPod(image="trainer"), spec(params={"text": "x" * longest}))
    with pytest.raises(ConfigurationError, match="has 131072 bytes, and an argument takes 131071"):
        pod_manifest(KubernetesPod(image="trainer"), spec(params={"text": "x" * (longest + 1)}))


# --- whose it is ------------------------------------------------------------------------------------------------------


def test_labels_name_the_run() -> None:
    """The labels find a pod by dag, run, task, try, product; the annotations tell the ids whole."""
    run = RUN.model_copy(update={"map_index": 3})
    meta = pod_manifest(FULL, spec(run=run))["metadata"]
    assert (
        meta["labels"].items()
        >= {
            "app.kubernetes.io/managed-by": "airflow-mlops-provider",
            "mlops/product": "shop",
            "mlops/job": "train",
            "mlops/dag": "shop.training",
            "mlops/task": "training.train",
            "mlops/map-index": "3",
            "mlops/try": "2",
        }.items()
    )
    assert meta["labels"]["mlops/run"].startswith("manual__2024-01-01T00-00-00-00-00-")
    assert pod_identity.run_of({"metadata": meta}) == run
    assert pod_identity.run_of({"metadata": {**meta, "labels": {}}}) is None


@pytest.mark.parametrize(
    "value", ["x" * 200, "_run_", "ümläut", "a" * 63, "", "--", "manual__1+00:00", "run/with/slash"]
)
def test_any_id_makes_a_valid_label_and_name(value: str) -> None:
    """Whatever ids a DAG has, labels and pod name are valid, and different ids give different ones."""
    run, other = (RunIdentity(dag_id=one, run_id=one, task_id=one, try_number=1) for one in (value, value + "!"))
    pod = pod_manifest(KubernetesPod(image="trainer"), spec(run=run))
    kubernetes_validate.validate(pod, "1.31", strict=True)
    assert len(pod["metadata"]["name"]) <= 63
    for text in pod["metadata"]["labels"].values():
        assert pod_identity.label(text) == text
        assert len(text) <= 63
    assert pod_identity.pod_name(run) != pod_identity.pod_name(other)
    assert pod_identity.selector(run) != pod_identity.selector(other)


def test_one_name_for_each_try() -> None:
    """The same try always means the same pod, another try or another task instance another one."""
    later = RUN.model_copy(update={"try_number": 3})
    assert pod_identity.pod_name(RUN, "a") == pod_identity.pod_name(RUN, "a")
    assert len({pod_identity.pod_name(*one) for one in ((RUN, "a"), (RUN, "b"), (later, "a"))}) == 3
    assert pod_identity.selector(RUN) == pod_identity.selector(later)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_secrets_go_by_reference() -> None:
    """A secret's value is nowhere in the pod, only where the kubelet finds it."""
    place = KubernetesPod(image="trainer", secrets={"MLFLOW_TRACKING_PASSWORD": KEY, "AWS_SECRET_ACCESS_KEY": None})
    pod = pod_manifest(place, spec(), {"MLFLOW_TRACKING_PASSWORD": "hunter2", "AWS_SECRET_ACCESS_KEY": "tiger3"})
    assert "hunter2" not in json.dumps(pod)
    assert base(pod)["env"] == [
        {"name": "MLFLOW_TRACKING_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "mlflow", "key": "password"}}}
    ]


def test_a_secret_without_reference_is_refused() -> None:
    """What the connections hold and the pod would lack is named, with what to write; its value is not."""
    held = {"MLFLOW_TRACKING_PASSWORD": "hunter2", "AWS_ACCESS_KEY_ID": "tiger3", "MLFLOW_TRACKING_USERNAME": "me"}
    place = KubernetesPod(image="trainer", env={"MLFLOW_TRACKING_USERNAME": "me"})
    with pytest.raises(ConfigurationError) as caught:
        pod_manifest(place, spec(), held)
    said = str(caught.value)
    assert "hold AWS_ACCESS_KEY_ID, MLFLOW_TRACKING_PASSWORD," in said
    assert 'secrets={"AWS_ACCESS_KEY_ID": SecretKey(name="mlops", key="aws_access_key_id"), ' in said
    assert not {"hunter2", "tiger3"} & set(said.replace('"', " ").split())


@pytest.mark.parametrize("where", ["env", "template", "params"])
def test_a_secrets_value_is_refused_anywhere(where: str) -> None:
    """A credential's value that somebody wrote into the pod under another name is found."""
    value = "hunter2-hunter2"
    place = KubernetesPod(
        image="trainer",
        secrets={"MLFLOW_TRACKING_PASSWORD": KEY},
        env={"DATABASE": f"postgres://me:{value}@db"} if where == "env" else {},
        pod_template={"metadata": {"annotations": {"note": value}}} if where == "template" else None,
    )
    with pytest.raises(ConfigurationError, match="the value of MLFLOW_TRACKING_PASSWORD is in the pod's manifest"):
        pod_manifest(place, spec(params={"x": value} if where == "params" else {}), {"MLFLOW_TRACKING_PASSWORD": value})


# --- template ---------------------------------------------------------------------------------------------------------

TEMPLATE = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"labels": {"mlops/dag": "forged", "sidecar": "yes"}},
    "spec": {
        "runtimeClassName": "nvidia",
        "securityContext": {"runAsUser": 1234},
        "activeDeadlineSeconds": 5,
        "tolerations": [{"key": "mine", "operator": "Exists"}],
        "containers": [
            {"name": "proxy", "image": "proxy:1", "env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},
            {
                "name": "base",
                "image": "other",
                "env": [{"name": "OMP_NUM_THREADS", "value": "1"}, {"name": "LANG", "value": "C"}],
                "resources": {"limits": {"ephemeral-storage": "1Gi"}},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            },
        ],
        "volumes": [{"name": "data", "emptyDir": {}}],
    },
}


def test_a_template_is_merged_by_name(tmp_path: Path) -> None:
    """A sidecar first in the template stays itself; the job's container is laid over the one that is named ``base``."""
    file = tmp_path / "template.yaml"
    file.write_text(yaml.safe_dump(TEMPLATE))
    pod = pod_manifest(FULL.model_copy(update={"pod_template": str(file)}), spec())
    assert pod == pod_manifest(FULL.model_copy(update={"pod_template": TEMPLATE}), spec())
    kubernetes_validate.validate(pod, "1.31", strict=True)
    container, proxy = pod["spec"]["containers"]
    assert proxy == TEMPLATE["spec"]["containers"][0]  # type: ignore[index]
    assert container["image"] == IMAGE
    assert {one["name"]: one.get("value") for one in container["env"]}.items() >= {
        "LANG": "C", "OMP_NUM_THREADS": "2",
    }.items()  # fmt: skip
    assert container["resources"]["limits"] == {"ephemeral-storage": "1Gi", "memory": "4Gi", "nvidia.com/gpu": "2"}
    assert [mount["mountPath"] for mount in container["volumeMounts"]][:2] == ["/data", "/mlops"]
    assert len(pod["spec"]["volumes"]) == 6
    assert len(pod["spec"]["tolerations"]) == 3
    assert pod["spec"]["runtimeClassName"] == "nvidia"
    assert pod["spec"]["activeDeadlineSeconds"] == 24 * 3600
    assert pod["spec"]["securityContext"] == {
        "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, "runAsUser": 1234,
    }  # fmt: skip
    assert pod["metadata"]["labels"].items() >= {"sidecar": "yes", "mlops/dag": "shop.training"}.items()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"kind": "Job"}, "of kind 'Job' is no v1 Pod"),
        ({"spec": {"restartPolicy": "OnFailure"}}, "restartPolicy must be Never"),
        ({"spec": {"containers": [{"image": "x"}]}}, "needs a name"),
        ({"spec": {"containers": [{"name": "base", "command": ["sh"]}]}}, "must not set command of container 'base'"),
        ({"spec": {"containers": [{"name": "base", "args": ["x"]}]}}, "must not set args"),
        ({"spec": {"initContainers": [{"name": "i", "env": [{"name": "DB_PASSWORD", "value": "x"}]}]}}, "secretKeyRef"),
        ("/no/such/file.yaml", "cannot be read"),
    ],
    ids=str,
)
def test_a_template_that_cannot_work_is_refused(template: Any, said: str) -> None:
    """A template that would break what a job's pod relies on is refused, with what must change."""
    with pytest.raises(ConfigurationError, match=said):
        pod_manifest(KubernetesPod(image="trainer", pod_template=template), spec())


def test_a_folder_root_must_be_mounted() -> None:
    """A folder that is the artifact root but not the pod's is refused: the results would be gone with the pod."""
    asked = spec(root="file:///mlops/my%20root")
    pod_manifest(FULL, asked, {"MLFLOW_TRACKING_PASSWORD": "hunter2"})
    with pytest.raises(ConfigurationError, match="is the folder /mlops/my root, and the pod mounts /mlops/m:"):
        pod_manifest(KubernetesPod(image="x", volumes=(Volume(path="/mlops/m", claim="m"),)), asked)
