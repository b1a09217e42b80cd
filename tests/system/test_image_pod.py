"""The pod that is submitted, run for real: it trains the reference model in the image as a local process does here.

What a place submits goes to a Kubernetes API, and from there to ``podman kube play`` as it stands. What a cluster
gives and one machine does not is asked for by the place's own fields: this machine's network, for the servers that
stand on it, by the pod template, and a folder of this machine as volume. See ``test_image.py`` for what these tests
need.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from airflow_mlops_provider.exceptions import OutOfMemoryError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import Dataset, Model
from airflow_mlops_provider.places.deferral import Deferred
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.kubernetes.settings import SecretKey, Volume
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.storage.artifacts import open_store
from tests.factories.bucket import s3_server
from tests.factories.image import PRODUCT, Root, copy_root, find_image, podman
from tests.factories.kube.pod_world import LOG, Task, connect, fired, stored
from tests.factories.kube.podman import played
from tests.factories.kube.steps import scheduled
from tests.factories.kube.world import KubeWorld
from tests.factories.mlflow import mlflow_server

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]
BUCKET = "artifacts"
# Servers of this machine are reached as its own processes reach them, and nothing may be written outside the volumes.
HERE = {
    "spec": {
        "hostNetwork": True,
        "containers": [{"name": "base", "securityContext": {"readOnlyRootFilesystem": True}}],
    }
}
NETWORK = {
    "code": f"{PRODUCT}.torch_trainer:train",
    "flavor": "torch",
    "requires": ("torch", "onnx", "onnxscript", "numpy"),
    "settings": {"epochs": 2},
}


@pytest.fixture(autouse=True)
def _for_everybody() -> Iterator[None]:
    """Make folders that the image's user may write to, too: in a cluster, worker and pod are the same user."""
    before = os.umask(0)
    yield
    os.umask(before)


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
    """What a local process of this machine makes of the replay's last training set."""
    return locally(replay, tmp_path_factory.mktemp("here"))


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeWorld]:
    """A cluster whose node runs the pods' own images."""
    world = KubeWorld(tmp_path)
    world.ordinary = (scheduled(), played)
    connect(monkeypatch, world.kubeconfig)
    yield world
    world.close()


def training(replay: Root, root: str, mlflow: str, **params: Any) -> JobSpec:
    """Return what asks for the replay's last training again, at an artifact root that is given the training set."""
    files = (replay.copy / PRODUCT / "train").glob("*/manifest.json")
    done = [Manifest.model_validate_json(path.read_bytes()) for path in files]
    last = max(done, key=lambda manifest: manifest.started).spec
    spec = JobSpec.model_validate_json(last.model_dump_json().replace(replay.known_as.as_uri(), root))
    store, data = open_store(root), spec.inputs["training_set"]
    assert isinstance(data, Dataset)
    key = data.uri.removeprefix(f"{root}/")
    store.upload(replay.copy / key, key)
    services, run = Services(landing="/not/needed", mlflow=mlflow), RunIdentity(run_id=uuid.uuid4().hex)
    return spec.model_copy(update={"run": run, "services": services, "params": params})


def beside(replay: Root, folder: Path, **params: Any) -> JobSpec:
    """Return what asks for it on a folder, with its records beside."""
    return training(replay, folder.as_uri(), f"sqlite:///{folder}/mlflow.db", **params)


def locally(replay: Root, folder: Path, **params: Any) -> Manifest:
    """Train in a local process."""
    return LocalProcess().run(beside(replay, folder, **params), {}, logging.getLogger("here"))


def place(image: str, *volumes: Volume, **fields: Any) -> KubernetesPod:
    """Return a place on this machine's cluster: nothing to write to but its volumes."""
    scratch = Volume(path="/tmp", empty_dir="1Gi")
    env = {"HOME": "/tmp", **fields.pop("env", {})}
    return KubernetesPod(
        image=image, volumes=(scratch, *volumes), env=env, pod_template=HERE, poll_seconds=0.5, **fields
    )


def deferred(there: KubernetesPod, spec: JobSpec, held: dict[str, str]) -> Manifest:
    """Run a job at a place, each time waiting in a triggerer where it does."""
    context, event = Task().next_try(), None
    while True:
        try:
            return there.run(spec, held, LOG, context, event)
        except Deferred as waiting:
            event = fired(stored(waiting)[0], seconds=300)


def on(folder: Path) -> Volume:
    """Return a folder of this machine at the same path in the pod."""
    return Volume(path=str(folder), host_path=str(folder))


def test_a_pod_trains_the_same_model_on_a_shared_folder(
    trainer: str, replay: Root, here: Manifest, kube: KubeWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Trained in the pod, on a folder that both sides see: the local process's model, hash for hash; no pod is left."""
    caplog.set_level(logging.INFO)
    folder = tmp_path / "shared"
    manifest = place(trainer, on(folder), deferrable=False).run(beside(replay, folder), {}, LOG, Task().next_try())
    check(manifest, here, trainer)
    assert "mlops.train: trained in" in caplog.text
    assert (len(kube.created), kube.names()) == (1, [])


def test_a_pod_trains_the_same_model_in_a_bucket(
    trainer: str, replay: Root, here: Manifest, kube: KubeWorld, bucket: dict[str, str], mlflow: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Deferred, and by keys that only a Kubernetes secret holds, to and from a bucket: the same model again."""
    caplog.set_level(logging.DEBUG, LOG.name)
    spec = training(replay, f"s3://{BUCKET}/mlops", mlflow)
    name, keys = f"mlops-test-{uuid.uuid4().hex[:8]}", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    kube.secrets = {(name, key): bucket[key] for key in keys}
    there = place(trainer, secrets={key: SecretKey(name=name, key=key) for key in keys})
    manifest = deferred(there, spec, bucket)
    check(manifest, here, trainer)
    assert isinstance(manifest.result, Model)
    told = httpx.get(f"{mlflow}/api/2.0/mlflow/runs/get", params={"run_id": manifest.result.facts["run_id"]}).json()
    assert told["run"]["info"]["status"] == "FINISHED"
    left = open_store(spec.root)
    kept = [left.read(key).decode("utf-8", "replace") for key in left.list(f"{PRODUCT}/pods")]
    assert len(kept) == 2  # the manifest's copy and the whole log
    written = (
        *kept,
        str(kube.created),
        str(told),
        *(one.getMessage() for one in caplog.records if one.name == LOG.name),
    )
    assert not [text for text in written if any(bucket[key] in text for key in keys)]


def test_a_pod_that_the_kernel_killed_has_more_memory_next(
    trainer: str, replay: Root, here: Manifest, kube: KubeWorld, tmp_path: Path
) -> None:
    """Killed by the kernel at its memory limit, the job fails as out of memory; its next try has more, and trains."""
    folder, task = tmp_path / "shared", Task()
    spec = beside(replay, folder)
    small = place(trainer, on(folder), memory="128Mi", memory_factor=8, memory_cap="1Gi", deferrable=False)
    with pytest.raises(OutOfMemoryError, match="it had 128Mi, the next try has 1Gi"):
        small.run(spec, {}, LOG, task.next_try())
    check(small.run(spec, {}, LOG, task.next_try()), here, trainer)
    assert kube.names() == []


def test_a_pod_trains_the_same_network(trainer: str, replay: Root, kube: KubeWorld, tmp_path: Path) -> None:
    """The trainer in PyTorch, asked for by the same job's parameters: the same network, bytes and all."""
    look = "import importlib.util as u, sys; sys.stdout.write(str(bool(u.find_spec('torch'))))"
    if podman("run", "--rm", "--network=none", trainer, "python", "-c", look) != "True":
        pytest.skip("the trainer image was built without PyTorch (MLOPS_TEST_EXTRAS=torch)")
    pytest.importorskip("torch", reason="PyTorch comes with the torch extra: pip install -e '.[torch]'")
    folder = tmp_path / "shared"
    spec = beside(replay, folder, trainer=NETWORK)
    manifest = place(trainer, on(folder), deferrable=False).run(spec, {}, LOG, Task().next_try())
    check(manifest, locally(replay, tmp_path / "here", trainer=NETWORK), trainer)


def check(inside: Manifest, here: Manifest, image: str) -> None:
    """Hold a pod's result to a local process's: the same address, the same bytes; and it says what it was made with."""
    assert inside.state == here.state == "success"
    assert inside.code_hashes == here.code_hashes
    assert inside.address == here.address
    assert inside.outputs == here.outputs
    assert inside.result is not None
    assert here.result is not None
    assert inside.result.hash == here.result.hash
    assert inside.image == image.partition("@")[2]
    revision = podman("image", "inspect", '--format={{index .Labels "org.opencontainers.image.revision"}}', image)
    assert (inside.code.commit, inside.code.dirty) == (revision[:40], revision.endswith("-dirty"))
    assert {"machine", "cores", "system", "python"} <= inside.hardware.keys()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An S3 server with an empty bucket, as what a connection to it holds for a job; this process has it, too."""
    with s3_server() as server:
        endpoint = server["AWS_ENDPOINT_URL"]
        held = {
            "AWS_ACCESS_KEY_ID": f"key-{uuid.uuid4().hex}",
            "AWS_SECRET_ACCESS_KEY": f"secret-{uuid.uuid4().hex}",
            "AWS_DEFAULT_REGION": server["AWS_DEFAULT_REGION"],
            "AWS_ENDPOINT_URL_S3": endpoint,
            "MLFLOW_S3_ENDPOINT_URL": endpoint,
        }
        for name, value in held.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield held


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[str]:
    """A tracking server of this machine, as its URI."""
    with mlflow_server(tmp_path) as uri:
        yield uri
