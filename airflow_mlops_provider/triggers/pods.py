"""Waits for a pod without holding a worker, and passes its log on meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops_provider.places.kubernetes.decisions.facts import CONTAINER
from airflow_mlops_provider.places.kubernetes.watch import PodObserver, Watch, wants_events

if TYPE_CHECKING:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

#: 404: there is no such pod; 400: its container has not started, so that it has no log.
NOTHING = {400, 404}


class PodTrigger(BaseTrigger):
    """Fires when a pod has ended, cannot go on, or has had its time. What that means, the worker decides.

    It deletes the pod only if the task is stopped: its own end, or its triggerer's, does the pod no harm.

    :param access: how to reach the cluster, see :class:`.PodApi`; credentials stay in the connection.
    :param watch: a :class:`.Watch` as JSON.
    :param passed: what of the log was passed on before, see :class:`.LogCursor`.
    """

    def __init__(
        self, *, access: dict[str, Any], namespace: str, name: str, watch: dict[str, Any], passed: dict[str, Any]
    ) -> None:
        super().__init__()
        self.access, self.namespace, self.name = access, namespace, name
        self.observer = PodObserver(Watch.model_validate(watch), {"passed": passed})

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__name__}", {
            "access": self.access,
            "namespace": self.namespace,
            "name": self.name,
            "watch": self.observer.watch.to_json(),
            "passed": self.observer.log.state,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the pod until there is something to decide."""
        while True:
            await self._look()
            await self._pass_on()
            if self.observer.verdict().action != "wait":
                break
            await asyncio.sleep(self.observer.pause())
        yield TriggerEvent({"name": self.name, **self.observer.to_event()})

    async def on_kill(self) -> None:
        self.log.info("deleting pod %s: the task was stopped", self.name)
        await self._hook.delete_pod(self.name, self.namespace)

    async def _look(self) -> None:
        try:
            answer = await self._request("read_namespaced_pod", name=self.name)
            pod = json.loads(answer) if answer else None
            self.observer.see(pod, await self._events() if wants_events(pod) else ())
        except ConnectionError as error:
            self.log.warning("%s", error)
            self.observer.miss()

    async def _events(self) -> list[dict[str, Any]]:
        try:
            answer = await self._request("list_namespaced_event", field_selector=f"involvedObject.name={self.name}")
        except ConnectionError:  # they only explain; we may lack the right to read them
            return []
        return list(json.loads(answer or b"{}").get("items") or ())

    async def _pass_on(self) -> None:
        cursor = self.observer.log
        with suppress(ConnectionError):  # the next look tries again
            query = {"container": CONTAINER, **cursor.query()}
            data = b"" if cursor.full else await self._request("read_namespaced_pod_log", name=self.name, **query)
            for line in cursor.feed(data or b""):
                self.log.info("%s", line)

    async def _request(self, call: str, **arguments: Any) -> bytes | None:
        """Return the API's answer; None if there is nothing of the kind. :raises ConnectionError: if it gives none."""
        from aiohttp import ClientError
        from kubernetes_asyncio.client import CoreV1Api

        try:
            async with self._hook.get_conn() as connection:
                request = getattr(CoreV1Api(connection), call)
                answer = await request(namespace=self.namespace, _preload_content=False, **arguments)
                data = bytes(await answer.read())
        except (ClientError, OSError) as error:  # a time-out is one of the latter
            raise ConnectionError(f"the Kubernetes API cannot be reached: {str(error)[:500]}") from None
        if answer.status in NOTHING:
            return None
        if answer.status >= 300:
            raise ConnectionError(
                f"the Kubernetes API answered {answer.status}: {data[:500].decode('utf-8', 'replace')}"
            )
        return data

    @cached_property
    def _hook(self) -> AsyncKubernetesHook:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

        return AsyncKubernetesHook(**self.access)
