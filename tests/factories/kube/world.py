"""A Kubernetes API to test against, over real HTTP: it keeps pods, and a node of ours lives each one's life.

What it knows is what the API's clients see: names, labels, deletion with grace, conflicts, watches, logs, events. What
happens in a pod a test writes down (see :mod:`tests.factories.kube.steps`), or its own command is run on this machine.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kubernetes_validate

from tests.factories.kube.api import TOKEN, Refusal, serve
from tests.factories.kube.node import Life, Step
from tests.factories.kube.objects import Objects
from tests.factories.kube.rules import check_pod, matches, merge, stamp
from tests.factories.kube.steps import WORK

NAMESPACE = "mlops"
VERSION = "1.31"


@dataclass
class Fault:
    """What the API does in place of an answer: a status, ``reset`` or ``hang``.

    :param on: part of ``METHOD /path?query``.
    :param times: how often; then it answers again.
    """

    on: str
    reply: int | str
    times: int = 1


class KubeWorld:
    """A cluster of one namespace.

    :param folder: where the kubeconfig file is written.
    :param env: further environment of every command that a pod runs here, such as PYTHONPATH.
    """

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        self.env = env or {}
        self.lives: list[Sequence[Step]] = []
        self.ordinary: Sequence[Step] = WORK
        self.secrets: dict[tuple[str, str], str] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.created: list[dict[str, Any]] = []
        self.removed: list[str] = []
        self.pods: dict[str, Life] = {}
        self.events: list[dict[str, Any]] = []
        self.history: list[tuple[int, str, str, dict[str, Any]]] = []
        self.changed = threading.Condition(threading.RLock())
        self.objects = Objects(self)
        self._versions = itertools.count(1)
        self._server = serve(self)
        self.port: int = self._server.port
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self.config))

    @property
    def config(self) -> dict[str, Any]:
        """The kubeconfig file's content; JSON is YAML."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": NAMESPACE}}],
            "current-context": "test",
        }

    # --- what a test does ---------------------------------------------------------------------------------------------

    def next(self, *steps: Step) -> None:
        """Say how the next pod that is created lives; without a word it does its work."""
        self.lives.append(steps)

    def fault(self, on: str, reply: int | str, times: int = 1) -> None:
        """Let the API fail when next asked: a status, ``reset`` the connection, or ``hang`` until it goes down."""
        self.faults.append(Fault(on, reply, times))

    def down(self) -> None:
        """Take the API server away; pods live on."""
        self._server.stop()

    def up(self) -> None:
        """Bring the API server back, on the same port."""
        self._server = serve(self, self.port)

    def close(self) -> None:
        """End everything."""
        self.down()
        self.objects.close()
        for life in list(self.pods.values()):
            life.end(grace=0)

    def names(self) -> list[str]:
        """Return the names of the pods that exist."""
        with self.changed:
            return sorted(self.pods)

    def life(self, name: str | None = None) -> Life:
        """Return the life of a pod: the one named, or the only one."""
        with self.changed:
            return self.pods[name] if name else next(iter(self.pods.values()))

    def until(self, holds: Callable[[], Any], seconds: float = 20) -> Any:
        """Wait until something holds and return what it gave; fail if it does not in time."""
        ends = time.monotonic() + seconds
        while not (found := holds()):  # without the lock: it may ask the API
            assert time.monotonic() < ends, "waited in vain"
            time.sleep(0.01)
        return found

    # --- what the API does --------------------------------------------------------------------------------------------

    def create(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Take a new pod in, or refuse it as Kubernetes would."""
        try:
            kubernetes_validate.validate(pod, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            field = ".".join(str(part) for part in error.path)
            raise Refusal(400, "BadRequest", f"Pod in version v1 cannot be handled: {field}: {error.message}") from None
        if problems := check_pod(pod):
            raise Refusal(422, "Invalid", f'Pod "{pod["metadata"].get("name")}" is invalid: {"; ".join(problems)}')
        name = pod["metadata"].setdefault("name", f"{pod['metadata'].get('generateName', '')}{uuid.uuid4().hex[:5]}")
        with self.changed:
            if name in self.pods:
                raise Refusal(409, "AlreadyExists", f'pods "{name}" already exists')
            now = stamp()
            pod["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now, "namespace": NAMESPACE}
            pod["status"] = {"phase": "Pending"}
            self.created.append(json.loads(json.dumps(pod)))
            life = self.pods[name] = Life(self, pod, self.lives.pop(0) if self.lives else self.ordinary)
            self.tell("ADDED", pod)
        life.start()
        return pod

    def find(self, name: str) -> Life:
        """Return a pod's life."""
        with self.changed:
            if name not in self.pods:
                raise Refusal(404, "NotFound", f'pods "{name}" not found')
            return self.pods[name]

    def delete(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Begin a pod's deletion: it ends within its grace, and is gone then."""
        life = self.find(name)
        asked = (options.get("preconditions") or {}).get("uid")
        if asked and asked != life.pod["metadata"]["uid"]:
            raise Refusal(409, "Conflict", f'the UID in the precondition ({asked}) does not match pod "{name}"')
        grace = options.get("gracePeriodSeconds")
        life.end(grace if grace is not None else life.pod["spec"].get("terminationGracePeriodSeconds", 30))
        return life.pod

    def remove(self, life: Life) -> None:
        """Forget a pod: it is gone for every client."""
        with self.changed:
            if self.pods.get(life.name) is life:  # by now another of that name may be there
                del self.pods[life.name]
                self.removed.append(life.name)
                self.tell("DELETED", life.pod)

    def patch(self, name: str, change: dict[str, Any]) -> dict[str, Any]:
        """Merge a change into a pod."""
        life = self.find(name)
        with self.changed:
            merge(life.pod, change)
            self.tell("MODIFIED", life.pod)
        return life.pod

    def event(self, pod: dict[str, Any], reason: str, message: str, kind: str = "Warning") -> None:
        """Record an event about a pod; it outlives the pod."""
        meta, moment = pod["metadata"], stamp()
        about = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "namespace": NAMESPACE, "uid": meta["uid"]}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{meta['name']}.{uuid.uuid4().hex[:8]}", "namespace": NAMESPACE},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": kind,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
        }
        event["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": moment}
        with self.changed:
            self.events.append(event)
            self.tell("ADDED", event)

    def select(self, kind: str, query: dict[str, str]) -> list[dict[str, Any]]:
        """Return the pods or events that a query's selectors mean."""
        with self.changed:
            every = [life.pod for life in self.pods.values()] if kind == "Pod" else self.events
            return [json.loads(json.dumps(one)) for one in every if matches(one, query)]

    def tell(self, what: str, item: dict[str, Any]) -> None:
        """Give an object its new version and tell whoever watches."""
        with self.changed:
            version = next(self._versions)
            item["metadata"]["resourceVersion"] = str(version)
            self.history.append((version, what, item["kind"], json.loads(json.dumps(item))))
            self.changed.notify_all()

    def watch(self, kind: str, query: dict[str, str], stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """Yield what happens to the objects that a query means, from the version that it names on."""
        with self.changed:
            asked, latest = query.get("resourceVersion"), self.history[-1][0] if self.history else 0
            known = [] if asked else self.select(kind, query)
        yield from ({"type": "ADDED", "object": one} for one in known)
        seen = int(asked) if asked else latest
        ends = datetime.now(UTC) + timedelta(seconds=float(query.get("timeoutSeconds") or 3600))
        while datetime.now(UTC) < ends and not stopped():
            with self.changed:
                news = [one for one in self.history if one[0] > seen]
                if not news:
                    self.changed.wait(0.1)
            for seen, what, of, item in news:  # noqa: B007 - kept for the next round
                if of == kind and matches(item, query):
                    yield {"type": what, "object": item}
