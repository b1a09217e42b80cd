"""``python -m airflow_mlops_provider.runtime``: run the job whose specification comes as one line of JSON on its input.

Standard input stays open as long as whoever wants the result is alive. When it closes early, nobody waits for the
result any more, and the job ends at once: a killed task leaves no orphan. Exit status: 0 success, 1 failed, 2 no such
job, 74 and 77 if the artifact root is full or may not be written, so that no manifest tells of the job's end.

In a pod nobody holds the input: there the specification comes as ``--spec JSON``, the pod's deletion ends the job, and
a copy of its manifest is left in the folder below the artifact root that ``--manifest-copy`` names.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.telemetry import disable_telemetry
from airflow_mlops_provider.exceptions import RootError
from airflow_mlops_provider.runtime.process import masks

if TYPE_CHECKING:
    from airflow_mlops_provider.lifecycle.records.manifest import Manifest
    from airflow_mlops_provider.lifecycle.records.spec import JobSpec

ORPHANED = 3
TITLE = "mlops"


def main() -> int:
    """Read the specification, run the job, and return the exit status."""
    begin()
    from airflow_mlops_provider.lifecycle.records.spec import JobSpec
    from airflow_mlops_provider.runtime.process.scratch import own_folder
    from airflow_mlops_provider.runtime.runner import run
    from airflow_mlops_provider.storage.refusals import exit_status

    parser = argparse.ArgumentParser(prog="python -m airflow_mlops_provider.runtime", description="Run one job.")
    parser.add_argument("--spec", metavar="JSON", help="the job's specification; by default a line on standard input")
    parser.add_argument(
        "--manifest-copy", metavar="KEY", help="folder below the artifact root for a copy of the manifest"
    )
    given = parser.parse_args()
    line, parent = (given.spec, None) if given.spec else _read_line()
    spec = JobSpec.model_validate_json(line)
    with suppress(OSError):  # Linux shows it as the process's name; however it was started, it goes by this
        Path("/proc/self/comm").write_text(f"{TITLE} {spec.name}"[:15])
    if parent is not None:
        threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    try:
        with own_folder():
            manifest = _run_and_copy(spec, given.manifest_copy) if given.manifest_copy else run(spec)
    except RootError as error:
        logging.getLogger("mlops.runner").error("%s can leave no manifest: %s", spec.job, error)  # noqa: TRY400
        return exit_status(error)
    return 0 if manifest.state == "success" else 1


def begin() -> None:
    """Have this process write its log, without credentials, and keep vendors' libraries quiet."""
    masks.mask_output()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells each time where it found its credentials
    disable_telemetry()


def _run_and_copy(spec: JobSpec, key: str) -> Manifest:
    """Run a job to its very end, then leave a copy of its manifest in a folder below the artifact root.

    A pod's place cannot see where the manifest will lie. What fails before there could be one (the product is not in
    the image, a package is missing) is told, too.
    """
    from airflow_mlops_provider.runtime.failures import failed
    from airflow_mlops_provider.runtime.runner import IMAGE_VARIABLE, run
    from airflow_mlops_provider.storage.artifacts import MANIFEST, open_store
    from airflow_mlops_provider.storage.layout import image_key

    began = datetime.now(UTC)
    try:
        manifest = run(spec)
    except Exception as error:  # whatever keeps a job from its work, the place must learn of it
        logging.getLogger("mlops.manifest_copy").exception("%s could not begin", spec.job)
        manifest = failed(spec, "", error, began)
    keys = [key]
    if manifest.image and manifest.image == os.environ.get(IMAGE_VARIABLE):  # else reused: made in another one
        keys.append(image_key(spec, manifest.image))
    for folder in reversed(keys):
        open_store(spec.root).write(f"{folder}/{MANIFEST}", manifest.to_file())
    return manifest


def _read_line() -> tuple[bytes, int]:
    """Return the specification, and the descriptor that stays open as long as whoever wants the result is alive.

    For all else standard input is empty from then on.

    Processes that the user's code starts would inherit it, and those it forks a lock on ``sys.stdin`` with it: what
    they read would be ours, or they would wait for ever. So it moves to a descriptor that no other program is given,
    and is read without Python's buffers.
    """
    parent = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    line = b""
    while not line.endswith(b"\n") and (more := os.read(parent, 65536)):
        line += more
    return line, parent


def _end_with_parent(parent: int) -> None:
    while os.read(parent, 65536):
        pass
    if os.getpgrp() == os.getpid():  # its own session, as a place starts it: what it started ends with it
        os.killpg(0, signal.SIGKILL)
    os._exit(ORPHANED)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Vendor libraries leave threads behind that would hold the process; the manifest is on disk by now.
    os._exit(status)
