"""Runs jobs in forks of this process, which has loaded all they need, and lets them die where they are told.

An order is a line of JSON, ``{"specs": […], "die_at": "…"}``: its jobs run at once, and the answer is a line with their
exit statuses. A point is a call from our own code on, or one that reaches the disk, with how often it was reached.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import mlflow.store.model_registry.sqlalchemy_store

from airflow_mlops_provider.backends.tracking.mlflow import client as mlflow  # noqa: F401
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.runtime import runner

OURS = "/airflow_mlops_provider/"
REACHING_DISK = {"replace", "link", "open", "fsync", "unlink", "rename", "commit", "flock", "fork_exec", "write"}


class Dying:
    """Counts the points that a job passes once its work has begun, and kills it at one of them."""

    def __init__(self, job: str, die_at: str, points: Path) -> None:
        self.job, self.die_at, self.points, self.seen, self.begun = job, die_at, points, Counter[str](), False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        name, file = frame.f_code.co_name, frame.f_code.co_filename
        self.begun = self.begun or (event == "call" and name == self.job and file.endswith(f"/{self.job}.py"))
        if not self.begun:
            return
        if event == "call" and OURS in file:
            self.pass_by(f"{Path(file).stem}.{name}")
        elif event == "c_call" and getattr(argument, "__name__", "") in REACHING_DISK:
            self.pass_by(f"built-in.{argument.__name__}")

    def pass_by(self, name: str) -> None:
        """Die, or keep the point."""
        self.seen[name] += 1
        point = f"{name}:{self.seen[name]}"
        if point == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.die_at == "log":
            sys.setprofile(None)
            with self.points.open("a") as file:
                file.write(f"{point}\n")
            sys.setprofile(self)


def fork(text: str, die_at: str, log: Path) -> int:
    """Start a job in a fork and return its process id."""
    child = os.fork()
    if child:
        return child
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    points = Path(f"{log}.points")
    if die_at == "log":
        points.unlink(missing_ok=True)
    spec = JobSpec.model_validate_json(text)
    if die_at:
        sys.setprofile(Dying(spec.job, die_at, points))
    told = runner.run(spec)
    sys.setprofile(None)
    Path(f"{log}.{told.spec.job}.{told.spec.run.run_id}.json").write_text(told.model_dump_json())
    os._exit(0 if told.state == "success" else 1)


if __name__ == "__main__":
    for line in sys.stdin:
        order = json.loads(line)
        children = [fork(text, order["die_at"], Path(sys.argv[1])) for text in order["specs"]]
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(ended), flush=True)
