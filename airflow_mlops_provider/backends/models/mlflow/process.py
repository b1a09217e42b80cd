"""The process that applies an MLflow model: started with it, and ended when nobody has it any more."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from airflow_mlops_provider.backends.models.mlflow import worker
from airflow_mlops_provider.backends.models.mlflow.environment import python_of
from airflow_mlops_provider.exceptions import ConfigurationError, JobError, SourceDataError

#: What of our surroundings a model's code may see; no credentials.
_SEEN = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "SSL_CERT_FILE", "TMPDIR", "TZ")


class Worker:
    """A process that has a model in memory; several threads may use it.

    :param model: the model's folder, which nobody needs any more once this is made.
    :raises ConfigurationError: if the model can't be loaded there.
    :raises JobError: if its environment can't be made.
    """

    def __init__(self, model: Path) -> None:
        self._process = subprocess.Popen(
            [str(python_of(model)), "-I", "-B", worker.__file__, str(model)],  # -B: nothing is written beside the model
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: os.environ[name] for name in _SEEN if name in os.environ},
            text=True,
            encoding="utf-8",
        )
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._process)
        said = self._answer()
        if "error" in said:
            raise ConfigurationError(f"the MLflow model can't be loaded in its environment: {said['error'][:800]}")

    def predict(self, columns: Mapping[str, Any], rows: int) -> list[Any]:
        """Return what the model gives for each row. :raises SourceDataError: if it fails on them."""
        with self._lock:
            said = self._answer(json.dumps({"columns": columns, "rows": rows}))
        if "error" in said:
            raise SourceDataError(f"the MLflow model can't predict such rows: {said['error'][:800]}")
        answers: list[Any] = said["rows"]
        return answers

    def _answer(self, request: str = "") -> dict[str, Any]:
        """Return the next answer. :raises JobError: if the process has ended."""
        pipes: tuple[IO[str] | None, IO[str] | None] = (self._process.stdin, self._process.stdout)
        assert pipes[0] is not None
        assert pipes[1] is not None
        try:
            if request:
                print(request, file=pipes[0], flush=True)
            line = pipes[1].readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            raise JobError(f"the MLflow model's process ended with {code}; the log has what it said")
        said: dict[str, Any] = json.loads(line)
        return said


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # it may have ended before
            assert pipe is not None
            pipe.close()
    process.terminate()
    process.wait()
