"""The steps of a pod's life, by the names that tests write down. Each is a function of the pod's life."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.factories.kube.node import Life, Step
from tests.factories.kube.rules import stamp


def scheduled(node: str = "node-1") -> Step:
    """Give the pod a node."""
    return lambda life: life.place(node)


def unschedulable(message: str) -> Step:
    """Find no node for the pod, and say why."""

    def step(life: Life) -> None:
        life.condition("PodScheduled", "False", "Unschedulable", message)
        life.world.event(life.pod, "FailedScheduling", message)

    return step


def waiting(reason: str, message: str = "") -> Step:
    """Let the container wait: ``ErrImagePull``, ``CreateContainerConfigError``, …"""
    return lambda life: life.container(waiting={"reason": reason, "message": message})


def running() -> Step:
    """Start the container."""
    return lambda life: life.begin()


def say(*lines: str) -> Step:
    """Print lines of log."""
    return lambda life: [life.say(line) for line in lines] and None


def exited(code: int = 0, reason: str | None = None) -> Step:
    """End the container, for example with ``137, "OOMKilled"``."""
    return lambda life: life.end_container(code, reason)


def failed(reason: str, message: str = "", code: int | None = None) -> Step:
    """Let the cluster end the pod: ``Evicted``, ``Preempting``, ``OutOfcpu``, ``NodeLost``.

    :param code: exit status of its container; None if it never told.
    """

    def step(life: Life) -> None:
        if code is not None:
            life.end_container(code)
        life.set(phase="Failed", reason=reason, message=message)
        life.ended.set()

    return step


def disrupted(reason: str, message: str = "") -> Step:
    """Mark the pod as one that the cluster is about to end: ``PreemptionByScheduler``, ``EvictionByEvictionAPI``, …"""
    return lambda life: life.condition("DisruptionTarget", "True", reason, message)


def node_lost() -> Step:
    """Let the node fall silent and the cluster ask for the pod's deletion, which nobody hears."""

    def step(life: Life) -> None:
        life.unreachable = True
        life.set(reason="NodeLost", message="Node node-1 which was running the pod is unresponsive")
        life.pod["metadata"] |= {"deletionTimestamp": stamp(), "deletionGracePeriodSeconds": 1}
        life.set()

    return step


def collected() -> Step:
    """Take the pod away without a word, as the cluster's own cleaning does."""
    return lambda life: life.world.remove(life)


def rest(seconds: float) -> Step:
    """Let time pass."""
    return lambda life: life.rest(seconds)


def hold(event: threading.Event) -> Step:
    """Go on when the test says so."""

    def step(life: Life) -> None:
        while not event.is_set():
            life.rest(0.01)

    return step


def do(function: Callable[[], Any]) -> Step:
    """Do whatever a test needs at this point of the pod's life."""
    return lambda life: function() and None


def noted(reason: str, message: str, kind: str = "Warning") -> Step:
    """Record an event about the pod."""
    return lambda life: life.world.event(life.pod, reason, message, kind)


def work(needs: str = "0") -> Step:
    """Run the container's own command here, for real.

    :param needs: the memory that it takes; a smaller limit ends it as out of memory.
    """
    return lambda life: life.work(needs)


#: The ordinary life: a node, then the work itself.
WORK: tuple[Step, ...] = (scheduled(), work())
