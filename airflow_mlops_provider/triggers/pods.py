"""Waits for a pod without holding a worker, and passes its log on meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops_provider.places.kubernetes.decisions.ends import Timeouts
from airflow_mlops_provider.places.kubernetes.decisions.facts import CONTAINER, UNSEEN, PodFacts, observe
from airflow_mlops_provider.places.kubernetes.decisions.table import conclude
from airflow_mlops_provider.places.kubernetes.log import LogTail
from airflow_mlops_provider.places.kubernetes.run import asks_why
from airflow_mlops_provider.places.kubernetes.values import LogBounds

#: 404: there is no such pod; 400: its container has not started, so that it has no log.
NOTHING = {400, 404}


class PodTrigger(BaseTrigger):
    """Fires when a pod has ended, cannot go on, or has had its time. What that means, the worker decides.

    It deletes the pod only if somebody stops the task: its own end, or its triggerer's, does the pod no harm.

    :param conn_id: the Airflow connection to the cluster; its secrets stay there.
    :param in_cluster, cluster_context, config_file: as a KubernetesPodOperator takes them.
    :param deadline: when the task's time is over, in seconds since the epoch.
    :param passed: what of the log was passed on before.
    """

    def __init__(
        self,
        *,
        conn_id: str | None,
        namespace: str,
        name: str,
        deadline: float | None,
        poll_seconds: float,
        timeouts: dict[str, float],
        log: dict[str, int],
        passed: dict[str, Any],
        in_cluster: bool | None = None,
        cluster_context: str | None = None,
        config_file: str | None = None,
    ) -> None:
        super().__init__()
        self.way: dict[str, Any] = {
            "conn_id": conn_id,
            "in_cluster": in_cluster,
            "cluster_context": cluster_context,
            "config_file": config_file,
        }
        self.namespace, self.name = namespace, name
        self.deadline, self.poll_seconds, self.timeouts = deadline, poll_seconds, Timeouts.model_validate(timeouts)
        self._tail = LogTail(LogBounds.model_validate(log), passed)
        self._answered = time.monotonic()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and arguments from which to make this trigger again."""
        return f"{type(self).__module__}.{type(self).__name__}", {
            **self.way,
            "namespace": self.namespace,
            "name": self.name,
            "deadline": self.deadline,
            "poll_seconds": self.poll_seconds,
            "timeouts": self.timeouts.to_json(),
            "log": self._tail.bounds.to_json(),
            "passed": self._tail.state,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the pod until there is something to decide."""
        while True:
            facts, waited = await self._look()
            await self._pass_on()
            over = self.deadline is not None and time.time() >= self.deadline
            cause: Literal["timeout"] | None = "timeout" if over else None
            if conclude(facts, "not_expected", cause, waited=waited, timeouts=self.timeouts).action != "wait":
                break
            await asyncio.sleep(self._pause())
        unseen = 0.0 if facts.seen else waited
        yield TriggerEvent({"name": self.name, "cause": cause, "unseen": unseen, "passed": self._tail.state})

    async def on_kill(self) -> None:
        """Delete the pod: somebody stopped the task."""
        self.log.info("deleting pod %s: the task was stopped", self.name)
        await self._hook.delete_pod(self.name, self.namespace)

    async def _look(self) -> tuple[PodFacts, float]:
        try:
            answer = await self._ask("read_namespaced_pod", name=self.name)
            pod = json.loads(answer) if answer else None
            events = await self._events() if asks_why(pod) else ()
        except ConnectionError as error:
            self.log.warning("%s", error)
            return UNSEEN, time.monotonic() - self._answered
        self._answered = time.monotonic()
        facts = observe(pod, events)
        return facts, facts.waited(datetime.now(UTC))

    async def _events(self) -> list[dict[str, Any]]:
        try:
            found = await self._ask("list_namespaced_event", field_selector=f"involvedObject.name={self.name}")
        except ConnectionError:  # they only explain; we may lack the right to read them
            return []
        return list(json.loads(found or b"{}").get("items") or ())

    async def _pass_on(self) -> None:
        with suppress(ConnectionError):  # the next look asks again
            query = {"container": CONTAINER, **self._tail.query()}
            data = b"" if self._tail.full else await self._ask("read_namespaced_pod_log", name=self.name, **query)
            for line in self._tail.feed(data or b""):
                self.log.info("%s", line)

    async def _ask(self, call: str, **arguments: Any) -> bytes | None:
        """Return the API's answer; None if there is nothing of the kind. :raises ConnectionError: if it gives none."""
        from aiohttp import ClientError
        from kubernetes_asyncio.client import CoreV1Api

        try:
            async with self._hook.get_conn() as connection:
                ask = getattr(CoreV1Api(connection), call)
                answer = await ask(namespace=self.namespace, _preload_content=False, **arguments)
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

    def _pause(self) -> float:
        left = self.poll_seconds if self.deadline is None else self.deadline - time.time()
        return max(0.01, min(self.poll_seconds, left))

    @cached_property
    def _hook(self) -> Any:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

        return AsyncKubernetesHook(**self.way)
