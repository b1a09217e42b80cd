"""The image to test, and the artifact root of a finished replay to test it with."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving.request_schema import RequestSchema
from airflow_mlops_provider.storage.artifacts import file_hash

CHECKOUT = Path(__file__).parents[2]
PRODUCT = "flight_delay"
# By the Dockerfile's stage: the variable that names one built before, and the name of one built here.
IMAGES = {
    "image": ("MLOPS_TEST_IMAGE", "localhost/airflow-mlops:test"),
    "trainer": ("MLOPS_TEST_TRAINER_IMAGE", "localhost/airflow-mlops-trainer:test"),
}
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


def podman(*arguments: str, timeout: float = 120, stdin: str | None = None) -> str:
    """Run podman to its end and return what it prints."""
    command = ["podman", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"podman {shlex.join(arguments)}\n{done.stdout[-1500:]}{done.stderr[-3000:]}"
    return done.stdout.strip()


def base_image(given: str) -> str:
    """Return the base image by its digest; an archive is imported first, once."""
    if not Path(given).is_file():
        return given
    name = f"localhost/mlops-test-base:{file_hash(Path(given))[:12]}"
    if subprocess.run(["podman", "image", "exists", name], check=False).returncode:
        podman("import", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", given, name)
    return f"{name.partition(':')[0]}@{podman('image', 'inspect', '--format={{.Digest}}', name)}"


def commit() -> str:
    """Return the checkout's commit as the Dockerfile asks for it."""
    describe = ["git", "-C", str(CHECKOUT), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    return subprocess.check_output(describe, text=True).strip()


def find_image(target: str = "image") -> str:
    """Return an image's name; build it if none is given, skip if there is nothing to build it from.

    :param target: the Dockerfile's stage: ``image`` or ``trainer``.
    """
    variable, name = IMAGES[target]
    if not shutil.which("podman"):
        pytest.skip("no podman here to build and run the image")
    if given := os.environ.get(variable):
        return given
    if not (base := os.environ.get("MLOPS_TEST_BASE_IMAGE")):
        pytest.skip(f"neither {variable} nor MLOPS_TEST_BASE_IMAGE names an image")
    arguments = [f"--build-arg=BASE={base_image(base)}", f"--build-arg=COMMIT={commit()}", f"--tag={name}"]
    if target == "trainer":
        arguments.append(f"--build-arg=EXTRAS={os.environ.get('MLOPS_TEST_EXTRAS', '')}")
    options = [*shlex.split(os.environ.get("MLOPS_TEST_BUILD_OPTIONS", "")), f"--target={target}"]
    podman("build", *options, *arguments, f"--file={CHECKOUT}/docker/Dockerfile", str(CHECKOUT), timeout=1000)
    return name


def copy_root(folder: Path) -> Root:
    """Return a copy of a finished replay's artifact root that the image's user may write to; skip if there is none."""
    source = Path(os.environ.get("MLOPS_TEST_ROOT", CHECKOUT / "var" / "demo" / "mlops"))
    needed = [source / PRODUCT / "serving" / "desired.json", source / PRODUCT / "feast" / "watermark.json"]
    if missing := [str(path) for path in needed if not path.exists()]:
        pytest.skip(f"no finished replay to serve from (MLOPS_TEST_ROOT): {', '.join(missing)}")
    copy = Path(shutil.copytree(source, folder / "mlops"))
    subprocess.run(["chmod", "-R", "a+rwX", str(copy)], check=True)
    model = Root(copy, copy).release.model_uri.removeprefix("file://")
    return Root(copy, Path(model.partition(f"/{PRODUCT}/")[0]))


def run_inside(image: str, root: Root, spec: JobSpec, digest: str) -> Manifest:
    """Run a job in a container as a place would: its specification as one line, and the input left open."""
    command = ["podman", "run", "--rm", "-i", "--network=none", *CONFINED, f"--env=MLOPS_IMAGE_DIGEST={digest}"]
    child = subprocess.Popen(
        [*command, root.mount, image, "python", "-m", "airflow_mlops_provider.runtime"],
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


def rows(root: Root) -> list[dict[str, Any]]:
    """Flights of the first day that the features allow to ask for; of one the aircraft is not known."""
    day = json.loads((root.copy / PRODUCT / "feast" / "watermark.json").read_bytes())["watermark"][:10]
    times = {"sched_dep": f"{day}T13:00:00Z", "sched_arr": f"{day}T19:00:00Z", "event_time": f"{day}T11:00:00Z"}
    return [{**ROW, **times}, {**ROW, **times, "tailnum": "UNKNOWN", "carrier": "B6"}]


def outside(root: Root, body: bytes) -> list[float]:
    """Predict a body's rows in this process, with the same model file and the same feature store."""
    from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend

    product, release = load_product(PRODUCT), root.release
    model = Path(release.model_uri.removeprefix("file://").replace(str(root.known_as), str(root.copy)))
    shape = product.scoring
    schema = RequestSchema(shape.request)
    parsed = schema.frame(schema.rows(body))
    features = FeatureStoreBackend(product, root.copy / PRODUCT / "feast").online(parsed[list(shape.keys)])
    probabilities = Predictor.load(shape, model, release.model).predict(parsed, features)
    return list(probabilities.tolist())
