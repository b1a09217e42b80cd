"""How the pod of a model server lives: its own command, run here, at an address of its own, restarted when it ends."""

from __future__ import annotations

import http.client
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tests.factories.kube.rules import stamp

if TYPE_CHECKING:
    from tests.factories.kube.node import Life, Step

#: Each pod has an address of this machine to itself, as in its own network namespace; another for each test's process.
_ADDRESSES = (f"127.{os.getpid() % 250 + 2}.{number // 250}.{number % 250 + 2}" for number in itertools.count())


def serve(*further: str, instead: Sequence[str] = ()) -> Step:
    """Run the server, ready when it says so.

    :param further: arguments beside the pod's own. :param instead: a command in place of the image's.
    """

    def step(life: Life) -> None:
        life.place("node-1")
        ip = next(_ADDRESSES)
        life.set(podIP=ip)
        container: dict[str, Any] = life.pod["spec"]["containers"][0]
        env = life.environment(container)
        if env is None:
            return
        port, restarts = container["ports"][0]["containerPort"], 0
        words = [word.replace("$$(", "$(") for word in container["args"]]
        line = [sys.executable, *(word.replace("--host=0.0.0.0", f"--host={ip}") for word in words[1:]), *further]
        while True:
            life.set(phase="Running")
            life.container(running={"startedAt": stamp()})
            status = _run(life, [*instead] or line, env, ip, port)
            restarts += 1
            life.condition("Ready", "False")
            ended = {"exitCode": status, "reason": "Error", "finishedAt": stamp()}
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}
            last = {"lastState": {"terminated": ended}, "restartCount": restarts}
            with life.world.changed:
                life.container(waiting=waiting)
                life.pod["status"]["containerStatuses"][0] |= last
            life.rest(1)

    return step


def _run(life: Life, line: Sequence[str], env: dict[str, str], ip: str, port: int) -> int:
    child = subprocess.Popen(
        line, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    life.attend(child)
    threading.Thread(target=life.read, args=(child,), daemon=True).start()
    ready = False
    while child.poll() is None:
        life.rest(0.1)
        if (now := _answers(ip, port)) != ready:
            ready = now
            life.condition("Ready", str(ready))
    return child.returncode


def _answers(ip: str, port: int) -> bool:
    try:
        with closing(http.client.HTTPConnection(ip, port, timeout=2)) as connection:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
