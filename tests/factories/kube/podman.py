"""A node for the cluster of a test that runs the pods' own images: podman plays each pod as it was submitted."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.factories.image import podman
from tests.factories.kube.node import BASE, Life

KILLED = 137


def played(life: Life) -> None:
    """Run a pod in its image until its job ends. Deleted before, it gets SIGTERM, and SIGKILL after its grace."""
    asked = next(pod for pod in reversed(life.world.created) if pod["metadata"]["name"] == life.name)
    with _secrets(life.world.secrets):
        try:
            # JSON is YAML in which each text is quoted, also a name of nothing but digits.
            podman("kube", "play", "--start=false", "-", stdin=json.dumps(asked))
            status = _attend(life)
            # podman does not say why; but nobody else sends SIGKILL here than the kernel, at the pod's memory limit.
            life.end_container(status, "OOMKilled" if status == KILLED else None)
        finally:
            grace = asked["spec"].get("terminationGracePeriodSeconds", 30)
            remove = ["podman", "pod", "rm", "--force", f"--time={grace}", life.name]
            subprocess.run(remove, capture_output=True, check=False)


def _attend(life: Life) -> int:
    """Start the job's container and return the status it ends with, once all it printed is in the pod's log."""
    life.begin()
    command = ["podman", "start", "--attach", f"{life.name}-{BASE}"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    reader = threading.Thread(target=life._read, args=(child,), daemon=True)
    reader.start()
    while child.poll() is None:
        life.rest(0.05)
    reader.join()
    return child.returncode


@contextmanager
def _secrets(values: Mapping[tuple[str, str], str]) -> Iterator[None]:
    """Let podman know the cluster's secrets for a while, by their names and keys."""
    data: dict[str, dict[str, str]] = defaultdict(dict)
    for (name, key), value in values.items():
        data[name][key] = base64.b64encode(value.encode()).decode()
    try:
        for name, encoded in data.items():
            _keep(name, encoded)
        yield
    finally:
        for name in data:
            subprocess.run(["podman", "secret", "rm", name], capture_output=True, check=False)


def _keep(name: str, data: dict[str, str]) -> None:
    if podman("version", "--format={{.Client.Version}}").startswith("4.3."):
        # It keeps a played secret as YAML and reads it as JSON (containers/podman#16269): given what it reads.
        podman("secret", "create", name, "-", stdin=json.dumps(data))
        return
    document: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
    podman("kube", "play", "-", stdin=json.dumps(document))
