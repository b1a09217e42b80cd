"""A process apart in which recorded jobs run again: the recorded code on its path, and little else from here.

As a program this module takes a job's specification a line and answers each with a line, the manifest or the error.
It ends when its input does, and the job that runs then ends with it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TextIO

from airflow_mlops_provider.exceptions import JobError, JobLostError, MLOpsError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.runtime.reproduction.recorded_code import Code

if TYPE_CHECKING:
    from airflow_mlops_provider.places.base import Place

#: What a job may need from its surroundings: where programs, certificates, proxies and devices are. The Airflow
#: settings and connections say which place and which bucket; nothing else of this environment reaches the job.
KEPT = {
    *("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ", "USER"),
    *("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
    *("CUDA_VISIBLE_DEVICES", "KUBECONFIG"),
}
KEPT_PREFIXES = ("AIRFLOW_", "AWS_", "KUBERNETES_", "NVIDIA_")
GRACE_SECONDS = 15


class RebuildProcess:
    """The process in which jobs run with one state of the code.

    :param code: the code that the jobs are to run.
    :param folder: for temporary files; its ``rebuild.log`` takes what the jobs say.
    :param secrets: environment variables with credentials.
    """

    def __init__(self, code: Code, folder: Path, secrets: Mapping[str, str]) -> None:
        self._log = (folder / "rebuild.log").open("ab")
        self._child = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
            cwd=folder,
            env=environment(code, folder, os.environ) | dict(secrets),
            start_new_session=True,  # an interrupt at the terminal reaches us, and we end the child
        )

    def run(self, spec: JobSpec) -> Manifest:
        """Run one job and return its manifest. :raises MLOpsError: if it failed."""
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        # Unset fields are left out: a release that made the record may not know them.
        request = spec.model_dump_json(exclude_unset=True)
        with suppress(BrokenPipeError):  # it died: so says the missing answer
            stdin.write(f"{request}\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            log = Path(self._log.name).read_text(errors="replace")[-2000:]
            raise JobLostError(f"the process that rebuilds ended before {spec.job} did:\n{log}")
        answer = json.loads(line)
        if "error" in answer:
            raise JobError(f"{spec.job} failed when made again: {answer['error']}")
        return Manifest.model_validate(answer["manifest"])

    def close(self) -> None:
        """End the process, and the job that may run in it."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(GRACE_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._log.close()


def environment(code: Code, folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the process: the recorded code first on the path, and what ``KEPT`` names."""
    kept = {name: value for name, value in given.items() if name.upper() in KEPT or name.startswith(KEPT_PREFIXES)}
    # An installed provider is found by itself; before the standard library, site-packages would shadow it.
    provider = [code.provider] if not {"site-packages", "dist-packages"} & set(code.provider.parts) else []
    path = os.pathsep.join(map(str, [*code.users, *provider]))
    return kept | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "TMPDIR": str(folder)}


def main() -> int:
    """Answer each specification with a manifest or an error, until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    places: list[Place] = []
    requests: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin, places, requests), daemon=True).start()
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
    from airflow_mlops_provider.places.named import chosen

    places.append(chosen())
    secrets = ArtifactStoreHook().secrets()
    while (line := requests.get()) is not None:
        answers.write(json.dumps(_answer(places[0], secrets, line)) + "\n")
        answers.flush()
    return 0


def _listen(lines: TextIO, places: list[Place], requests: SimpleQueue[str | None]) -> None:
    for line in lines:
        requests.put(line)
    if not places:
        os._exit(0)  # it has not even begun
    places[0].stop()  # nobody waits for the answer any more
    requests.put(None)


def _answer(place: Place, secrets: Mapping[str, str], line: str) -> dict[str, Any]:
    spec = JobSpec.model_validate_json(line)
    try:
        return {"manifest": place.run(spec, secrets, logging.getLogger(f"mlops.{spec.job}")).to_json()}
    except MLOpsError as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    sys.exit(main())
