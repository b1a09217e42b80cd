"""The default place: a child process of the task, its lines streamed, gone when the task is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from typing import Any, TextIO
from uuid import uuid4

from airflow.sdk import Context, conf
from pydantic import PrivateAttr

from airflow_mlops_provider.lifecycle.frozen import Strict
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places import warm_child
from airflow_mlops_provider.places.base import Log, Place, decide
from airflow_mlops_provider.runtime.code import closure, roots
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.runtime.runner import look
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.manifests import manifest_of_run

GRACE_SECONDS = 5
Child = subprocess.Popen[bytes] | warm_child.WarmChild
#: Airflow's settings, connections and variables hold passwords, keys and tokens that no job needs.
AIRFLOWS_OWN = ("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_")


class LocalProcess(Strict, Place):
    """Runs a job in a child process on this machine. It ends with its task, so that it never leaves an orphan.

    :param env: further environment variables for the child.
    :param warm: whether it may be forked from a process that has its libraries loaded already; by default as
        ``[mlops] warm_jobs`` says. With ``env`` it is always begun anew, as libraries read that when they are loaded.
    """

    env: dict[str, str] = {}
    warm: bool | None = None
    _child: Child | None = PrivateAttr(default=None)

    def run(
        self,
        spec: JobSpec,
        secrets: Mapping[str, str],
        log: Log,
        context: Context | None = None,
        event: dict[str, Any] | None = None,
    ) -> Manifest:
        """Run a job in a child process, unless its work is finished already. See :meth:`.Place.run`."""
        # Before the child starts: an edit to the code while it runs must not change where its manifest is looked for.
        finished, key = look(spec, secrets)
        if finished:
            return finished
        read_end, write_end = os.pipe()
        with (
            os.fdopen(read_end, encoding="utf-8", errors="replace") as output,
            os.fdopen(write_end, "wb", buffering=0) as pipe,
        ):
            self._child = self._started(spec, secrets, pipe)
            try:
                status = self._wait(self._child, spec, output, pipe, log)
            except BaseException:
                self.stop()
                raise
        return decide(spec, status, manifest_of_run(open_store(spec.root, secrets), key, spec.run))

    def stop(self) -> None:
        """End the child and its children: SIGTERM first, then SIGKILL."""
        if self._child is None or self._child.poll() is not None:
            return
        _signal_group(self._child, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(GRACE_SECONDS)
        _signal_group(self._child, signal.SIGKILL)  # also those that ignored SIGTERM

    def _started(self, spec: JobSpec, secrets: Mapping[str, str], pipe: FileIO) -> Child:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(AIRFLOWS_OWN)}
        environment = {**inherited, **self._environment(spec, secrets)}
        warm = conf.getboolean("mlops", "warm_jobs", fallback=True) if self.warm is None else self.warm
        expected = conf.get("mlops", "preload", fallback=None) == "jobs"
        if warm and not self.env and (forked := warm_child.fork(inherited, environment, pipe.fileno(), expected)):
            return forked
        return subprocess.Popen(
            [sys.executable, "-m", "airflow_mlops_provider.runtime"],
            stdin=subprocess.PIPE,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # so that stop() reaches whatever the job started
        )

    def _wait(self, child: Child, spec: JobSpec, output: TextIO, pipe: FileIO, log: Log) -> int:
        assert child.stdin is not None
        try:
            child.stdin.write(spec.model_dump_json().encode() + b"\n")
            child.stdin.flush()  # and left open: the job ends when it is closed
        except BrokenPipeError:
            pass  # it died at once; its output and status say more than this would
        last = f"{uuid4()}\n"  # a line that no job prints
        threading.Thread(target=_end_with, args=(child, pipe, last), daemon=True).start()
        for line in output:
            if line.endswith(last):
                break
            log.info(line.rstrip())
        if line != last:  # it died in the middle of a line
            log.info(line.removesuffix(last))
        return child.wait()

    def _environment(self, spec: JobSpec, secrets: Mapping[str, str]) -> dict[str, str]:
        users = {function.partition(":")[0] for function in find_job(spec.job).code(spec).values()}
        products = map(str, roots([spec.job.partition(":")[0], spec.product, *closure(*users)]))
        path = [*products, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        return {**self.env, **secrets, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _end_with(child: Child, pipe: FileIO, last: str) -> None:
    """End what a job leaves behind, and write its last line: what escaped may hold the output open for ever."""
    child.wait()
    _signal_group(child, signal.SIGKILL)
    with suppress(ValueError):  # closed: it is not read any more
        pipe.write(last.encode())


def _signal_group(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # none is left
        os.killpg(child.pid, number)
