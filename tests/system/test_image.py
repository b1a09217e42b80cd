"""The image: Airflow, a job and the model server run from it, and come to the same results as outside.

Needs podman, an image or a base to build one from, and the artifact root of a finished replay, as ``make demo``
leaves one:

    MLOPS_TEST_IMAGE          an image that was built before; or
    MLOPS_TEST_BASE_IMAGE     the base to build on: its name, or the archive of a root file system
    MLOPS_TEST_BUILD_OPTIONS  further options of ``podman build``, such as a secret with pip's configuration
    MLOPS_TEST_ROOT           the artifact root (var/demo/mlops)

Where one of them is missing these tests are skipped and say which; nothing is fetched by itself.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from airflow_mlops_provider.backends.artifacts import file_hash
from airflow_mlops_provider.backends.code import load_product
from airflow_mlops_provider.lifecycle.manifest import Manifest
from airflow_mlops_provider.lifecycle.spec import JobSpec
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.serving.prediction_log import read_log
from airflow_mlops_provider.serving.predictor import Predictor
from airflow_mlops_provider.serving.releases import Release
from airflow_mlops_provider.serving.request_schema import RequestSchema

# A first build installs everything, some five minutes on two slow cores; what follows takes one.
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

CHECKOUT = Path(__file__).parents[2]
PRODUCT = "flight_delay"
# As a pod of the chart has it: nothing to write to but /tmp and the artifact root, and no rights.
CONFINED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges", "--env=HOME=/tmp")
ROW = {
    "origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA", "flight": 1, "distance": 2475, "hour": 9,
}  # fmt: skip


class Root(NamedTuple):
    """A copy of an artifact root, and the folder as which its references know it."""

    copy: Path
    known_as: Path

    @property
    def mount(self) -> str:
        return f"--volume={self.copy}:{self.known_as}"

    @property
    def release(self) -> Release:
        return Release.model_validate_json((self.copy / PRODUCT / "serving" / "desired.json").read_bytes())


def podman(*arguments: str, timeout: float = 120) -> str:
    """Run podman to its end and return what it prints."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"podman {shlex.join(arguments)}\n{done.stdout[-1500:]}{done.stderr[-3000:]}"
    return done.stdout.strip()


def base_image(given: str) -> str:
    """Return the name of the base image; an archive is imported first, once."""
    if not Path(given).is_file():
        return given
    name = f"localhost/mlops-test-base:{file_hash(Path(given))[:12]}"
    if subprocess.run(["podman", "image", "exists", name], check=False).returncode:
        podman("import", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", given, name)
    return name


def commit() -> str:
    """Return the checkout's commit as the Dockerfile asks for it."""
    describe = ["git", "-C", str(CHECKOUT), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    return subprocess.check_output(describe, text=True).strip()


@pytest.fixture(scope="module")
def image() -> str:
    """The image, built if it is not given."""
    if not shutil.which("podman"):
        pytest.skip("no podman here to build and run the image")
    if given := os.environ.get("MLOPS_TEST_IMAGE"):
        return given
    if not (base := os.environ.get("MLOPS_TEST_BASE_IMAGE")):
        pytest.skip("neither MLOPS_TEST_IMAGE nor MLOPS_TEST_BASE_IMAGE names an image")
    name = "localhost/airflow-mlops:test"
    arguments = [f"--build-arg=BASE={base_image(base)}", f"--build-arg=COMMIT={commit()}", f"--tag={name}"]
    options = shlex.split(os.environ.get("MLOPS_TEST_BUILD_OPTIONS", ""))
    podman("build", *options, *arguments, f"--file={CHECKOUT}/docker/Dockerfile", str(CHECKOUT), timeout=1000)
    return name


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A copy of a finished replay's artifact root, which the image's user may write to."""
    source = Path(os.environ.get("MLOPS_TEST_ROOT", CHECKOUT / "var" / "demo" / "mlops"))
    needed = [source / PRODUCT / "serving" / "live.json", source / PRODUCT / "feast" / "watermark.json"]
    if missing := [str(path) for path in needed if not path.exists()]:
        pytest.skip(f"no finished replay to serve from (MLOPS_TEST_ROOT): {', '.join(missing)}")
    copy = Path(shutil.copytree(source, tmp_path_factory.mktemp("image") / "mlops"))
    subprocess.run(["chmod", "-R", "a+rwX", str(copy)], check=True)
    model = Root(copy, copy).release.model_uri.removeprefix("file://")
    return Root(copy, Path(model.partition(f"/{PRODUCT}/")[0]))


def test_it_is_made_as_it_says(image: str) -> None:
    """Not root, the commit in label and product alike, byte code compiled, neither tools of the build nor a cache."""
    (told,) = json.loads(podman("image", "inspect", image))
    assert told["Config"]["User"] == "50000:0"
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", told["Labels"]["org.opencontainers.image.revision"])
    look = f"""
        id -u; cat /opt/airflow/dags/{PRODUCT}/.commit; echo
        cd /opt/venv/lib/*/site-packages
        ls /opt/airflow/dags/{PRODUCT}/__pycache__/*.pyc airflow_mlops_provider/__pycache__/*.pyc | wc -l
        ls -d /build /opt/airflow/.cache /root/.cache /etc/pip.conf 2>/dev/null | wc -l
        pip list --format freeze --disable-pip-version-check | grep -c -i -E '^(pytest|ruff|moto|hatchling)=='
        touch /opt/venv/new 2>/dev/null || echo read-only"""
    lines = podman("run", "--rm", "--network=none", image, "sh", "-c", look).split()
    assert lines[:2] == ["50000", told["Labels"]["org.opencontainers.image.revision"]]
    assert int(lines[2]) > 2
    assert lines[3:] == ["0", "0", "read-only"]


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


def run_inside(image: str, root: Root, spec: JobSpec, digest: str) -> Manifest:
    """Run a job in a container as a place would: its specification as one line, and the input left open."""
    command = ["podman", "run", "--rm", "-i", "--network=none", *CONFINED, f"--env=MLOPS_IMAGE_DIGEST={digest}"]
    child = subprocess.Popen(
        [*command, root.mount, image, "python", "-m", "airflow_mlops_provider.jobs"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(spec.model_dump_json() + "\n")
    child.stdin.flush()
    lines = child.stdout.read()
    assert child.wait(60) == 0, lines[-3000:]
    paths = (root.copy / PRODUCT / spec.job).glob("*/manifest.json")
    (made,) = (
        one for one in (Manifest.model_validate_json(path.read_bytes()) for path in paths) if one.image == digest
    )
    return made


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


def wait_until_ready(client: httpx.Client, name: str, seconds: float = 120) -> None:
    """Wait until the server has its model and its features."""
    end, answer = time.monotonic() + seconds, "no answer"
    while time.monotonic() < end:
        try:
            found = client.get("/ready")
        except httpx.TransportError as error:
            answer = repr(error)
        else:
            if found.status_code == 200:
                return
            answer = found.text
        time.sleep(0.5)
    logs = subprocess.run(["podman", "logs", "--tail=40", name], capture_output=True, text=True, check=False)
    pytest.fail(f"not ready in {seconds} s: {answer}\n{logs.stdout}{logs.stderr}")


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


def rows(root: Root) -> list[dict[str, Any]]:
    """Flights of the first day that the features allow to ask for; of one the aircraft is not known."""
    day = json.loads((root.copy / PRODUCT / "feast" / "watermark.json").read_bytes())["watermark"][:10]
    times = {"sched_dep": f"{day}T13:00:00Z", "sched_arr": f"{day}T19:00:00Z", "event_time": f"{day}T11:00:00Z"}
    return [{**ROW, **times}, {**ROW, **times, "tailnum": "UNKNOWN", "carrier": "B6"}]


def outside(root: Root, body: bytes) -> list[float]:
    """Predict a body's rows in this process, with the same model file and the same feature store."""
    from airflow_mlops_provider.backends.feast import FeatureStoreBackend

    product, release = load_product(PRODUCT), root.release
    model = Path(release.model_uri.removeprefix("file://").replace(str(root.known_as), str(root.copy)))
    parsed = RequestSchema(product).parse(body)
    features = FeatureStoreBackend(product, root.copy / PRODUCT / "feast").online(parsed[list(product.entity_columns)])
    probabilities = Predictor.load(product, model, release.model_hash, release.version).predict(parsed, features)
    return list(probabilities.tolist())
