"""The image: Airflow, a job and the model server run from it, and come to the same results as outside.

Needs podman, an image or a base to build one from, and the artifact root of a finished replay, as ``make demo``
leaves one:

    MLOPS_TEST_IMAGE, MLOPS_TEST_TRAINER_IMAGE    images that were built before; or
    MLOPS_TEST_BASE_IMAGE     the base to build on: its name, by digest, or the archive of a root file system
    MLOPS_TEST_BUILD_OPTIONS  further options of ``podman build``, such as a secret with pip's configuration
    MLOPS_TEST_EXTRAS         the package's extras that the trainer is built with, such as ``torch``
    MLOPS_TEST_ROOT           the artifact root (var/demo/mlops)

Where one of them is missing these tests are skipped and say which; nothing is fetched by itself.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.local_process import LocalProcess
from tests.factories.image import (
    CHECKOUT,
    CONFINED,
    PRODUCT,
    Root,
    copy_root,
    find_image,
    outside,
    podman,
    rows,
    run_inside,
    wait_until_ready,
)
from tests.factories.serving import read_log

# A first build installs everything: seven minutes on two busy cores. What follows takes half a minute.
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def image() -> str:
    """The image, built if it is not given."""
    return find_image()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A copy of a finished replay's artifact root."""
    return copy_root(tmp_path_factory.mktemp("image"))


@pytest.mark.parametrize("target", ["image", "trainer"])
def test_it_is_made_as_it_says(target: str) -> None:
    """Not root, the commit in label and product alike, byte code compiled, neither tools of the build nor a cache."""
    image = find_image(target)
    (told,) = json.loads(podman("image", "inspect", image))
    assert told["Config"]["User"] == "50000:0"
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", told["Labels"]["org.opencontainers.image.revision"])
    look = f"""
        id -u; cat /opt/airflow/dags/{PRODUCT}/.commit; echo
        cd /opt/venv/lib/*/site-packages
        ls /opt/airflow/dags/{PRODUCT}/__pycache__/*.pyc airflow_mlops_provider/__pycache__/*.pyc | wc -l
        ls -d /build /lists /opt/airflow/.cache /root/.cache /etc/pip.conf 2>/dev/null | wc -l
        ls -d pytest* ruff* moto* hatchling* 2>/dev/null | wc -l
        touch /opt/venv/new 2>/dev/null || echo read-only"""
    lines = podman("run", "--rm", "--network=none", image, "sh", "-c", look).split()
    assert lines[:2] == ["50000", told["Labels"]["org.opencontainers.image.revision"]]
    assert int(lines[2]) > 2
    assert lines[3:] == ["0", "0", "read-only"]


def test_the_trainer_has_what_training_takes_and_no_more(image: str) -> None:
    """Neither Airflow nor the feature store nor pip, and far smaller; what it has is what the whole image has."""
    trainer = find_image("trainer")
    sizes = {one: int(podman("image", "inspect", "--format={{.Size}}", one)) for one in (image, trainer)}
    packages = {one: installed(one) for one in (image, trainer)}
    assert {"pandas", "lightgbm", "mlflow", "optuna", "airflow_mlops_provider"} <= packages[trainer].keys()
    gone = packages[image].keys() - packages[trainer].keys()
    assert {"apache_airflow", "kubernetes", "feast", "great_expectations", "evidently", "pip"} <= gone
    both = packages[image].keys() & packages[trainer].keys()
    assert {name: packages[trainer][name] for name in both} == {name: packages[image][name] for name in both}
    if "torch" not in packages[trainer]:
        assert sizes[trainer] < 0.65 * sizes[image], sizes


def installed(image: str) -> dict[str, str]:
    """Return the name and version of each distribution in an image."""
    folders = podman("run", "--rm", "--network=none", image, "sh", "-c", "cd /opt/venv/lib/*/site-packages; ls").split()
    found = [name.removesuffix(".dist-info") for name in folders if name.endswith(".dist-info")]
    return {name.lower(): version for name, _, version in (one.rpartition("-") for one in found)}


def test_airflow_runs_and_knows_provider_and_dags(image: str) -> None:
    """Any component could start: Airflow finds the provider, and every DAG file is read without an error."""
    look = """
from airflow.dag_processing.dagbag import DagBag
from airflow.providers_manager import ProvidersManager
bag = DagBag()
print("airflow-mlops-provider" in ProvidersManager().providers, len(bag.import_errors), *sorted(bag.dags))
"""
    found = podman("run", "--rm", "--network=none", image, "python", "-c", look).splitlines()[-1]
    assert found.startswith("True 0 ")
    assert f"{PRODUCT}_training" in found
    assert podman("run", "--rm", "--network=none", image).splitlines()[-1].startswith("3.")


def test_a_job_makes_the_same_inside_as_outside(image: str, root: Root, tmp_path: Path) -> None:
    """One month is cleaned in a container and in a process of this machine: the very same bytes, from the same code."""
    done = sorted((root.copy / PRODUCT / "clean").glob("*/manifest.json"))
    spec = Manifest.model_validate_json(done[0].read_bytes()).spec.model_copy(update={"force": True})
    digest = podman("image", "inspect", "--format={{.Digest}}", image)
    inside = run_inside(image, root, spec, digest)

    here = JobSpec.model_validate_json(spec.model_dump_json().replace(str(root.known_as), str(root.copy)))
    outside = LocalProcess().run(here, {}, logging.getLogger("outside"))
    assert inside.state == outside.state == "success"
    assert inside.result is not None
    assert outside.result is not None
    assert inside.result.hash == outside.result.hash
    assert inside.outputs == outside.outputs
    assert inside.code_hashes == outside.code_hashes
    revision = podman("image", "inspect", '--format={{index .Labels "org.opencontainers.image.revision"}}', image)
    assert (inside.code.commit, inside.code.dirty) == (revision[:40], revision.endswith("-dirty"))
    pinned = (CHECKOUT / "constraints" / "constraints-3.11.txt").read_text("utf-8").split()
    assert f"pandas=={inside.packages['pandas']}" in pinned


def test_an_image_says_what_is_installed_in_it(image: str) -> None:
    """A valid bill of materials, of Python's distributions by the lock's versions, and of Debian's packages."""
    printed = podman("run", "--rm", "--network=none", image, "python", "-m", "airflow_mlops_provider.runtime.installed")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(printed) is None
    urls = {part.get("purl", "") for part in json.loads(printed)["components"]}
    pinned = (CHECKOUT / "constraints" / "constraints-3.11.txt").read_text("utf-8").split()
    assert {f"pkg:pypi/{line.replace('==', '@')}" for line in pinned if line.startswith("mlflow==")} <= urls
    assert any(url.startswith("pkg:deb/debian/git@") for url in urls)


@pytest.fixture
def server(image: str, root: Root, free_port: Callable[[], int]) -> Iterator[httpx.Client]:
    """A client of the model server in a container, once it is ready."""
    name, port, token = f"mlops-test-{uuid.uuid4().hex[:8]}", free_port(), "a token for the test"
    serve = ["python", "-m", "airflow_mlops_provider.serving", "--product", PRODUCT, "--root", root.known_as.as_uri()]
    options = [*CONFINED, f"--name={name}", "--network=host", f"--env=MLOPS_SERVING_TOKEN={token}", root.mount]
    podman("run", "--detach", *options, image, *serve, f"--port={port}")
    headers = {"authorization": f"Bearer {token}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=30) as client:
            wait_until_ready(client, name)
            yield client
            begun = time.monotonic()
            podman("stop", "--time=30", name)
            assert time.monotonic() - begun < 20, "it had to be killed"
    finally:
        subprocess.run(["podman", "rm", "--force", "--time=0", name], capture_output=True, check=False)


def test_the_server_predicts_inside_what_is_predicted_outside(server: httpx.Client, root: Root) -> None:
    """The live version answers from the container exactly as its model does here, and only to who has the token."""
    body = json.dumps({"rows": rows(root)}).encode()
    answer = server.post("/predict", content=body, headers={"x-request-id": "inside"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == root.release.version
    assert [one["probability"] for one in answer.json()["predictions"]] == outside(root, body)
    assert server.post("/predict", content=body, headers={"authorization": "Bearer other"}).status_code == 401
    log = root.copy / PRODUCT / "predictions" / "rest"
    end = time.monotonic() + 10
    while not log.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert (read_log(log)["request_id"] == "inside").sum() == len(rows(root))


def test_the_charts_pod_serves(image: str, root: Root, free_port: Callable[[], int]) -> None:
    """The pod that the chart renders runs as it stands: its arguments, its user, its read-only file system."""
    helm = pytest.importorskip("helm_python", reason="Helm comes with the dev extra: pip install -e '.[dev]'")
    name, port = f"mlops-test-{uuid.uuid4().hex[:8]}", free_port()
    repository, _, tag = image.rpartition(":")
    values = {
        "root": root.known_as.as_uri(),
        "volume": {"mountPath": str(root.known_as)},
        "tokenSecret": {"name": ""},
        "noToken": True,
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
    }
    with helm.Chart.load(str(CHECKOUT / "helm" / "mlops-model-server")) as chart:
        text = chart.render(values, name="live")["mlops-model-server/templates/deployment.yaml"]
    pod = on_this_machine(yaml.safe_load(text)["spec"]["template"]["spec"], root, port)
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod}
    try:
        podman("kube", "play", "-", stdin=yaml.safe_dump(manifest))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            wait_until_ready(client, f"{name}-server")
            answer = client.post("/predict", json={"rows": rows(root)})
        assert answer.status_code == 200, answer.text
        (told,) = json.loads(podman("container", "inspect", f"{name}-server"))
        assert told["HostConfig"]["ReadonlyRootfs"] is True
        assert told["Config"]["User"] == "50000:0"
    finally:
        subprocess.run(["podman", "pod", "rm", "--force", "--time=0", name], capture_output=True, check=False)


def on_this_machine(pod: dict[str, Any], root: Root, port: int) -> dict[str, Any]:
    """Give a pod this machine's network and a folder for its claim; leave out what only a kubelet does."""
    (container,) = pod["containers"]
    for part in ("startupProbe", "livenessProbe", "readinessProbe", "ports"):
        container.pop(part)
    container["args"] = [f"--port={port}" if one.startswith("--port=") else one for one in container["args"]]
    (claim,) = (one for one in pod["volumes"] if "persistentVolumeClaim" in one)
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": claim["name"], "hostPath": {"path": str(root.copy)}}]
    return {**pod, "hostNetwork": True, "volumes": volumes}
