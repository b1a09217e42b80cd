"""The pod that is submitted, run for real: it trains the reference model in the image as a local process does here.

The manifest of :class:`KubernetesPod` goes to ``podman kube play`` as it stands. What a cluster gives and one machine
does not is asked for by the place's own fields: this machine's network, for the servers that stand on it, by its pod
template, and a folder of this machine as volume. See ``test_image.py`` for what these tests need.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import httpx
import pytest
import yaml

from airflow_mlops_provider.backends.artifacts import open_store
from airflow_mlops_provider.jobs.runner import read_manifest
from airflow_mlops_provider.lifecycle.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Model
from airflow_mlops_provider.lifecycle.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.places.kubernetes_pod import KubernetesPod
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.places.pod_manifest import receipt_key
from airflow_mlops_provider.places.pod_values import SecretKey, Volume
from tests.bucket_world import s3_server
from tests.image_world import PRODUCT, Root, copy_root, find_image, podman

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]
BUCKET = "artifacts"
# Servers of this machine are reached as its own processes reach them, and nothing may be written outside the volumes.
HERE = {
    "spec": {
        "hostNetwork": True,
        "containers": [{"name": "base", "securityContext": {"readOnlyRootFilesystem": True}}],
    }
}


class Ended(NamedTuple):
    """How a pod's container ended, and what it printed."""

    status: int
    log: str


@pytest.fixture(scope="module")
def trainer() -> str:
    """The trainer image by its digest, as a cluster would be told of it."""
    name = find_image("trainer")
    return f"{name.rpartition(':')[0]}@{podman('image', 'inspect', '--format={{.Digest}}', name)}"


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A copy of a finished replay's artifact root."""
    return copy_root(tmp_path_factory.mktemp("replay"))


@pytest.fixture(scope="module")
def here(replay: Root, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """What a local process of this machine makes of the same training set."""
    folder = tmp_path_factory.mktemp("here")
    spec = training(replay, folder.as_uri(), f"sqlite:///{folder}/mlflow.db")
    return LocalProcess().run(spec, {}, logging.getLogger("here"))


def training(replay: Root, root: str, mlflow: str) -> JobSpec:
    """Return what asks for the replay's last training again, at an artifact root that is given the training set."""
    manifests = [read(path) for path in (replay.copy / PRODUCT / "train").glob("*/manifest.json")]
    last = max(manifests, key=lambda manifest: manifest.started).spec
    spec = JobSpec.model_validate_json(last.model_dump_json().replace(replay.known_as.as_uri(), root))
    store, data = open_store(root), spec.inputs["training_set"]
    key = data.uri.removeprefix(f"{root}/")  # type: ignore[union-attr]
    store.upload(replay.copy / key, key)
    run = RunIdentity(dag_id=f"{PRODUCT}_training", run_id=uuid.uuid4().hex, task_id="training.train", try_number=1)
    return spec.model_copy(update={"run": run, "services": Services(landing="/not/needed", mlflow=mlflow)})


def read(path: Path) -> Manifest:
    """Return the manifest in a file."""
    return Manifest.model_validate_json(path.read_bytes())


def play(pod: dict[str, Any]) -> Ended:
    """Hand a pod to podman as it stands, wait for the job's end, and remove it."""
    name = pod["metadata"]["name"]
    try:
        podman("kube", "play", "-", stdin=yaml.safe_dump(pod))
        status = int(podman("wait", f"{name}-base", timeout=300))
        log = subprocess.run(["podman", "logs", f"{name}-base"], capture_output=True, text=True, check=True)
        return Ended(status, log.stdout + log.stderr)
    finally:
        subprocess.run(["podman", "pod", "rm", "--force", "--time=0", name], capture_output=True, check=False)


@pytest.fixture
def secret() -> Iterator[Callable[[dict[str, str]], str]]:
    """Return a function that brings a Kubernetes secret of some values in, and gives its name; gone after the test."""
    name = f"mlops-test-{uuid.uuid4().hex[:8]}"

    def bring(values: dict[str, str]) -> str:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        if podman("version", "--format={{.Client.Version}}").startswith("4.3."):
            # It keeps a played secret as YAML and reads it as JSON (containers/podman#16269): given what it reads.
            podman("secret", "create", name, "-", stdin=json.dumps(data))
        else:
            document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
            podman("kube", "play", "-", stdin=yaml.safe_dump(document))
        return name

    yield bring
    subprocess.run(["podman", "secret", "rm", name], capture_output=True, check=False)


def test_a_pod_trains_the_same_model_on_a_shared_folder(
    trainer: str, replay: Root, here: Manifest, tmp_path: Path
) -> None:
    """Trained in the pod, on a folder that both sides see: the local process's model, hash for hash."""
    shared = tmp_path / "shared"
    spec = training(replay, shared.as_uri(), f"sqlite:///{shared}/mlflow.db")
    subprocess.run(["chmod", "-R", "a+rwX", str(shared)], check=True)  # the image's user is not the one of this process
    volumes = (Volume(path=str(shared), host_path=str(shared)), Volume(path="/tmp", empty_dir="1Gi"))
    place = KubernetesPod(image=trainer, volumes=volumes, env={"HOME": "/tmp"}, pod_template=HERE)
    pod = place.manifest(spec)
    ended = play(pod)
    assert ended.status == 0, ended.log
    check(result(spec, pod), here, trainer)


def test_a_pod_trains_the_same_model_in_a_bucket(
    trainer: str, replay: Root, here: Manifest, bucket: dict[str, str], mlflow: str, secret: Callable[..., str]
) -> None:
    """Trained in the pod, to and from a bucket by keys that only a Kubernetes secret holds: the same model again."""
    spec = training(replay, f"s3://{BUCKET}/mlops", mlflow)
    keys = {name: bucket[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    kept = secret(keys)
    place = KubernetesPod(
        image=trainer,
        volumes=(Volume(path="/tmp", empty_dir="1Gi"),),
        env={"HOME": "/tmp"},
        secrets={name: SecretKey(name=kept, key=name) for name in keys},
        pod_template=HERE,
    )
    pod = place.manifest(spec, bucket)
    ended = play(pod)
    assert ended.status == 0, ended.log
    manifest = result(spec, pod)
    check(manifest, here, trainer)
    assert isinstance(manifest.result, Model)
    told = httpx.get(f"{mlflow}/api/2.0/mlflow/runs/get", params={"run_id": manifest.result.facts["run_id"]}).json()
    assert told["run"]["info"]["status"] == "FINISHED"
    written = (yaml.safe_dump(pod), ended.log, manifest.model_dump_json(), str(told))
    assert not [text for text in written if any(value in text for value in keys.values())]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An S3 server with an empty bucket, as the environment that a connection to it makes; this process has it too."""
    with s3_server() as server:
        endpoint = server["AWS_ENDPOINT_URL"]
        environment = {
            "AWS_ACCESS_KEY_ID": f"key-{uuid.uuid4().hex}",
            "AWS_SECRET_ACCESS_KEY": f"secret-{uuid.uuid4().hex}",
            "AWS_DEFAULT_REGION": server["AWS_DEFAULT_REGION"],
            "AWS_ENDPOINT_URL_S3": endpoint,
            "MLFLOW_S3_ENDPOINT_URL": endpoint,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield environment


@pytest.fixture
def mlflow(free_port: Callable[[], int], tmp_path: Path) -> Iterator[str]:
    """A tracking server of this machine, as its URI."""
    uri = f"http://127.0.0.1:{free_port()}"
    stores = [f"--backend-store-uri=sqlite:///{tmp_path}/mlflow.db", f"--artifacts-destination={tmp_path / 'files'}"]
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={uri.rpartition(':')[2]}"]
    server = subprocess.Popen([*command, "--workers=1", *stores], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                httpx.get(f"{uri}/health").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield uri
    finally:
        os.killpg(server.pid, signal.SIGKILL)


def result(spec: JobSpec, pod: dict[str, Any]) -> Manifest:
    """Return what a pod left, as the task that submitted it finds it."""
    manifest = read_manifest(open_store(spec.root), receipt_key(spec, pod["metadata"]["name"]))
    assert manifest is not None, open_store(spec.root).list(PRODUCT)
    assert manifest.spec == spec
    return manifest


def check(inside: Manifest, here: Manifest, image: str) -> None:
    """Hold a pod's result to a local process's: the same address, the same bytes; and it says what it was made with."""
    assert inside.state == here.state == "success"
    assert inside.code_hashes == here.code_hashes
    assert {
        name: inside.packages[name] for name in ("lightgbm", "numpy", "pandas", "pyarrow")
    }.items() <= here.packages.items()
    assert inside.address == here.address
    assert inside.outputs == here.outputs
    assert inside.result is not None
    assert here.result is not None
    assert inside.result.hash == here.result.hash
    assert inside.image == image.partition("@")[2]
    revision = podman("image", "inspect", '--format={{index .Labels "org.opencontainers.image.revision"}}', image)
    assert (inside.code.commit, inside.code.dirty) == (revision[:40], revision.endswith("-dirty"))
    assert {"machine", "cores", "system", "python"} <= inside.hardware.keys()
