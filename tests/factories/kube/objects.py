"""Deployments and Services of the cluster of a test: server-side apply, roles, and a controller that rolls pods."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import kubernetes_validate

from tests.factories.kube.rules import stamp
from tests.factories.kube.serving import serve

if TYPE_CHECKING:
    from tests.factories.kube.node import Life, Step
    from tests.factories.kube.world import KubeWorld

VERSION = "1.31"
HASH = "pod-template-hash"
KINDS = {"deployments": "Deployment", "services": "Service"}
Right = tuple[str, str, str]


class Objects:
    """What was applied, and who keeps pods as that says.

    :ivar rules: a Role's, which each request must keep to; None for no limits. ``used`` are the rights that were.
    :ivar lives: how the next pods of Deployments live, in their order; without a word they serve.
    :ivar applied: each Deployment that was applied, in their order.
    """

    def __init__(self, world: KubeWorld) -> None:
        self.world = world
        self.rules: list[dict[str, Any]] | None = None
        self.used: set[Right] = set()
        self.kept: dict[tuple[str, str], dict[str, Any]] = {}
        self.lives: list[Step] = []
        self.applied: list[dict[str, Any]] = []
        self.fewest: dict[str, int] = {}
        self._ended = threading.Event()
        self._controller: threading.Thread | None = None

    # --- what the API does --------------------------------------------------------------------------------------------

    def find(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object."""
        from tests.factories.kube.api import Refusal

        with self.world.changed:
            if (kind, name) not in self.kept:
                raise Refusal(404, "NotFound", f'{kind.lower()}s "{name}" not found')
            return self.kept[kind, name]

    def apply(self, path: list[str], query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        """Take an object as one manager of its fields wants it; what it does not name any more is gone."""
        from tests.factories.kube.api import Refusal

        kind, name = KINDS[path[-2]], path[-1]
        if not query.get("fieldManager"):
            raise Refusal(422, "Invalid", "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value")
        try:
            kubernetes_validate.validate(body, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Refusal(400, "BadRequest", f"{kind} cannot be handled: {error.message}") from None
        with self.world.changed:
            before = self.kept.get((kind, name))
            if before is None:
                self.check_right("create", *_group(path))
            given = json.loads(json.dumps(body))
            if kind == "Deployment":
                given["spec"].setdefault("replicas", 1)
                self.applied.append(body)
            same = before is not None and before["spec"] == given["spec"]
            meta = before["metadata"] if before else {"uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
            generation = meta.get("generation", 0) + (not same)
            known = {key: meta[key] for key in ("uid", "creationTimestamp")}
            given["metadata"] |= {**known, "generation": generation, "namespace": path[-3]}
            given["status"] = before.get("status", {}) if before else {}
            self.kept[kind, name] = given
            self.world.tell("MODIFIED" if before else "ADDED", given)
        if self._controller is None:
            self._controller = threading.Thread(target=self._control, daemon=True)
            self._controller.start()
        return given

    def check_rights(self, method: str, path: list[str]) -> None:
        """Refuse what the role does not let its account do."""
        if self.rules is None or "namespaces" not in path:
            return
        group, resource = _group(path)
        named = len(path) > path.index("namespaces") + 3
        verb = {"GET": "get" if named else "list", "POST": "create", "PATCH": "patch", "DELETE": "delete"}[method]
        self.check_right(verb, group, resource)

    def check_right(self, verb: str, group: str, resource: str) -> None:
        """Refuse a verb."""
        from tests.factories.kube.api import Refusal

        right = (verb, group, resource)
        if self.rules is not None and right not in set(rights(self.rules)):
            who = 'User "system:serviceaccount:mlops:mlops-deployer" cannot'
            raise Refusal(403, "Forbidden", f'{resource} is forbidden: {who} {verb} resource "{resource}"')
        self.used.add(right)

    # --- what the controller does -------------------------------------------------------------------------------------

    def pods(self, name: str) -> list[Life]:
        """Return the pods of a Deployment that are not being deleted."""
        with self.world.changed:
            every = [life for life in self.world.pods.values() if "deletionTimestamp" not in life.pod["metadata"]]
            return [one for one in every if one.pod["metadata"]["labels"].get("app.kubernetes.io/instance") == name]

    def close(self) -> None:
        """Let the controller end."""
        self._ended.set()

    def _control(self) -> None:
        while not self._ended.wait(0.05):
            with self.world.changed:
                every = [one for (kind, _), one in self.kept.items() if kind == "Deployment"]
            for deployment in every:
                self._roll(deployment)

    def _roll(self, deployment: dict[str, Any]) -> None:
        """Make one step towards what a Deployment says: surge by one, and none unavailable."""
        name, wanted = deployment["metadata"]["name"], deployment["spec"]["replicas"]
        template, generation = deployment["spec"]["template"], deployment["metadata"]["generation"]
        label = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(template, sort_keys=True)).hex[:10]
        pods = self.pods(name)
        new = [one for one in pods if one.pod["metadata"]["labels"][HASH] == label]
        old = [one for one in pods if one not in new]
        ready = [one for one in pods if is_ready(one)]
        if ready or name in self.fewest:
            self.fewest[name] = min(self.fewest.get(name, len(ready)), len(ready))
        with self.world.changed:
            deployment["status"] = {
                "observedGeneration": generation,
                "replicas": len(pods),
                "updatedReplicas": len(new),
                "readyReplicas": len(ready),
                "availableReplicas": len(ready),
            }
        if len(new) < wanted and len(pods) < wanted + 1:
            self._create(name, label, template)
        elif len(new) > wanted or (old and len(ready) > wanted) or (old and not is_ready(old[-1])):
            gone = old[-1] if old and not is_ready(old[-1]) else (old or new)[0]
            gone.end(gone.pod["spec"].get("terminationGracePeriodSeconds", 30))

    def _create(self, name: str, label: str, template: dict[str, Any]) -> None:
        template = json.loads(json.dumps(template))
        meta = template["metadata"]
        meta |= {"name": f"{name}-{label}-{uuid.uuid4().hex[:5]}"}
        meta["labels"][HASH] = label
        self.world.next(self.lives.pop(0) if self.lives else serve())
        self.world.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})


def is_ready(life: Life) -> bool:
    """Say whether a pod can predict."""
    conditions = life.pod["status"].get("conditions", ())
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def rights(rules: list[dict[str, Any]]) -> Iterator[Right]:
    """Yield what a Role's rules let its account do: verb, API group, resource."""
    for rule in rules:
        for verb in rule["verbs"]:
            yield from ((verb, group, resource) for group in rule["apiGroups"] for resource in rule["resources"])


def _group(path: list[str]) -> tuple[str, str]:
    """Return the API group and the resource of a path, with its subresource."""
    at = path.index("namespaces") + 2
    group = path[1] if path[0] == "apis" else ""
    return group, "/".join([path[at], *path[at + 2 :]])
