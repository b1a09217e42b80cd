"""The life of a pod on the cluster of a test: steps that a test writes down, or the pod's own command, run here.

A step is a function of a :class:`Life`. Deleting a pod ends its life wherever it stands, as a kubelet would: SIGTERM,
the grace that was asked for, SIGKILL, gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.factories.kube.rules import quantity, stamp

if TYPE_CHECKING:
    from tests.factories.kube.world import KubeWorld

Step = Callable[["Life"], None]
BASE = "base"


class _Over(Exception):  # noqa: N818 - no error: the pod is being deleted, or its deadline is over
    pass


class Life(threading.Thread):
    """One pod and what happens to it.

    :ivar pod: the object that the API shows.
    :ivar log: what the container has printed, with times.
    :ivar ended: set once nothing more will happen in the container.
    """

    def __init__(self, world: KubeWorld, pod: dict[str, Any], steps: Sequence[Step]) -> None:
        super().__init__(daemon=True)
        self.world, self.pod, self.steps = world, pod, steps
        self.name: str = pod["metadata"]["name"]
        names = [one["name"] for one in pod["spec"]["containers"]]
        self.main = BASE if BASE in names else names[0]
        self.log: list[tuple[datetime, str]] = []
        self.ended = threading.Event()
        self.unreachable = False
        self._deleted = threading.Event()
        self._deadline: float | None = None
        self._child: subprocess.Popen[str] | None = None
        self._grace = 0.0

    def run(self) -> None:
        """Live step by step, then wait for the deletion."""
        try:
            for step in self.steps:
                step(self)
                self.rest(0)
            self.rest(None)
        except _Over:
            pass
        if not self.unreachable:
            self._stop_child()
            self.ended.set()
        if self._deleted.is_set() and not self.unreachable:
            self.world.remove(self)

    # --- what steps are made of ---------------------------------------------------------------------------------------

    def set(self, **status: Any) -> None:
        """Change the pod's status."""
        with self.world.changed:
            self.pod["status"] |= status
            self.world.tell("MODIFIED", self.pod)

    def container(self, **state: Any) -> None:
        """Change the state of the container that does the job."""
        one = {"name": self.main, "image": "any", "imageID": "", "ready": "running" in state, "restartCount": 0}
        others = [one for one in self.pod["status"].get("containerStatuses", ()) if one["name"] != self.main]
        self.set(containerStatuses=[one | {"state": state}, *others])

    def condition(self, kind: str, status: str, reason: str = "", message: str = "") -> None:
        """Change one of the pod's conditions."""
        one = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": stamp()}
        others = [known for known in self.pod["status"].get("conditions", ()) if known["type"] != kind]
        self.set(conditions=[*others, one])

    def state_of(self, name: str | None) -> str:
        """Return which state a container is in: ``waiting``, ``running`` or ``terminated``."""
        states = {one["name"]: one["state"] for one in self.pod["status"].get("containerStatuses", ())}
        return next(iter(states.get(name or self.main, {"waiting": {}})))

    def say(self, line: str) -> None:
        """Print a line of the container's log."""
        self.log.append((datetime.now(UTC), line))

    def rest(self, seconds: float | None) -> None:
        """Let time pass, until the pod is deleted or its own deadline is over."""
        ends = time.monotonic() + seconds if seconds is not None else None
        while not self._deleted.is_set():
            now = time.monotonic()
            if self._deadline is not None and now >= self._deadline:
                self._stop_child()
                self.set(phase="Failed", reason="DeadlineExceeded", message="Pod was active longer than allowed")
                self._terminate(137, "Error")
                self._deadline = None
                raise _Over
            if ends is not None and now >= ends:
                return
            self._deleted.wait(None if ends is None and self._deadline is None else 0.01)
        raise _Over

    def place(self, node: str) -> None:
        """Give the pod a node; from here on its own deadline counts."""
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        self._deadline = time.monotonic() + limit if limit else None
        self.pod["spec"]["nodeName"] = node
        self.condition("PodScheduled", "True")
        self.container(waiting={"reason": "ContainerCreating"})
        self.set(startTime=stamp())

    def begin(self) -> None:
        """Start the container."""
        self.set(phase="Running")
        self.container(running={"startedAt": stamp()})

    def _terminate(self, code: int, reason: str, message: str = "") -> None:
        self.container(terminated={"exitCode": code, "reason": reason, "message": message, "finishedAt": stamp()})

    def end_container(self, code: int, reason: str | None = None) -> None:
        """End the container, and the pod with it."""
        with self.world.changed:
            self._terminate(code, reason or ("Completed" if code == 0 else "Error"))
            self.set(phase="Succeeded" if code == 0 else "Failed")
        self._deadline = None
        self.ended.set()

    def work(self, needs: str) -> None:
        """Run the container's own command here; a memory limit below ``needs`` kills it, as the kernel would."""
        one = next(one for one in self.pod["spec"]["containers"] if one["name"] == self.main)
        env = self.environment(one)
        if env is None:
            return
        self.begin()
        limit = ((one.get("resources") or {}).get("limits") or {}).get("memory")
        if limit and quantity(limit) < quantity(needs):
            self.say("Allocating")
            self.end_container(137, "OOMKilled")
            return
        command = [*one.get("command", ()), *one["args"]]
        command[0] = sys.executable if command[0].startswith("python") else command[0]
        self._child = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        threading.Thread(target=self.read, args=(self._child,), daemon=True).start()
        while self._child.poll() is None:
            self.rest(0.02)
        self.end_container(self._child.returncode if self._child.returncode >= 0 else 128 - self._child.returncode)

    def environment(self, container: dict[str, Any]) -> dict[str, str] | None:
        """Return the environment that a container asks for, or None if it names a secret that is not there."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONUNBUFFERED": "1",
            **self.world.env,
        }
        for one in container.get("env", ()):
            if (source := one.get("valueFrom", {}).get("secretKeyRef")) is None:
                env[one["name"]] = one.get("value", "")
            elif (found := self.world.secrets.get((source["name"], source["key"]))) is not None:
                env[one["name"]] = found
            else:
                message = f'secret "{source["name"]}" not found'
                self.container(waiting={"reason": "CreateContainerConfigError", "message": message})
                return None
        return env

    def attend(self, child: subprocess.Popen[str]) -> None:
        """Have a process ended with the pod."""
        self._child = child

    def read(self, child: subprocess.Popen[str]) -> None:
        """Print what a process prints."""
        assert child.stdout is not None
        for line in child.stdout:
            self.say(line.rstrip("\n"))

    # --- how it ends --------------------------------------------------------------------------------------------------

    def end(self, grace: float) -> None:
        """Begin the pod's deletion."""
        over = self.pod["status"].get("phase") in {"Succeeded", "Failed"} or not self.pod["spec"].get("nodeName")
        self._grace = 0 if over else grace
        with self.world.changed:
            meta = self.pod["metadata"]
            meta["deletionTimestamp"] = stamp(datetime.now(UTC) + timedelta(seconds=self._grace))
            meta["deletionGracePeriodSeconds"] = int(self._grace)
            self.world.tell("MODIFIED", self.pod)
        self._deleted.set()
        if self._grace == 0:
            self._stop_child()
            self.ended.set()
            self.world.remove(self)  # whoever asks next finds nothing, whatever its node still does

    def _stop_child(self) -> None:
        if self._child is None or self._child.poll() is not None:
            return
        for number, wait in ((signal.SIGTERM, self._grace), (signal.SIGKILL, 10.0)):
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(wait)
                return
