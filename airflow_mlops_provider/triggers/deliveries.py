"""Waits, without holding a worker, until deliveries are complete in a folder or bucket, or a run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow.triggers.base import TriggerEvent

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.triggers.base import FieldsTrigger, Seen, StateTrigger, filled, number

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.tables.landing import Landing

UNDERWAY = ["queued", "running"]
#: So many names an event carries; it only says that something is there, and whoever is woken by it looks.
MOST_NAMES = 20


@dataclass(eq=False, repr=False, kw_only=True)
class DeliveryTrigger(StateTrigger):
    """Fires when what was delivered is complete: all of it is there, and lies still, or its marker does.

    :param path: a file, a folder (``…/``) or a pattern with ``*``, ``?``, ``[…]`` and ``**``, as a path or URI, or
        below the root of the connection ``conn_id`` or of the landing root.
    :param marker: a file in the path's folder, or folders, that whoever delivers writes last, such as ``_SUCCESS``.
    :param settle_seconds: how long all must have lain unchanged. A single object in a bucket is whole from the start.
    :param root: for ``keys``: the root that they lie below.
    :param keys: in place of a path: files or patterns below the root, all of which must be there.
    """

    path: str = ""
    marker: str | None = None
    settle_seconds: float = 5.0
    root: str | None = None
    keys: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settle_seconds = number("settle_seconds", self.settle_seconds)
        if bool(self.path) == (self.keys is not None):
            raise ConfigurationError("a delivery is a path, or keys below a root; give one of both")
        if self.keys is not None and not self.root:
            raise ConfigurationError(f"{', '.join(self.keys)} lie below no root; give it")

    def look(self) -> Seen:
        from airflow_mlops_provider.backends.tables.landing import reachable, split_path

        keys = self.keys
        root, pattern = split_path(self._full()) if keys is None else (filled("root", self.root), "")
        landing = _opened(root, tuple(self._environment().items()))
        with reachable(landing.uri):
            return self._of_path(landing, pattern) if keys is None else self._of_keys(landing, keys)

    def _of_path(self, landing: Landing, pattern: str) -> Seen:
        if self.marker:
            folder = pattern.removesuffix("**/*").rpartition("/")[0]
            pattern = f"{folder}/{self.marker}" if folder else self.marker
        files, settle_seconds = landing.matching(pattern), 0.0 if self.marker else self.settle_seconds
        return self._seen(f"{landing.uri}/{pattern}", landing.unsettled(pattern, files, settle_seconds), files)

    def _of_keys(self, landing: Landing, keys: list[str]) -> Seen:
        reasons = {key: landing.pending(key, self.settle_seconds) for key in keys}
        waiting = {key: reason for key, reason in reasons.items() if reason}
        if waiting:
            return Seen(None, "; ".join(f"{self.root}/{key} {reason}" for key, reason in waiting.items()))
        return Seen("delivered", f"delivered: {', '.join(keys) or 'nothing to wait for'}", {"delivered": keys})

    def _seen(self, where: str, pending: str | None, files: Mapping[str, tuple[int, float]]) -> Seen:
        if pending:
            return Seen(None, f"{where} {pending}")
        newest = sorted(files, key=lambda name: (files[name][1], name))[-MOST_NAMES:]
        facts = {"delivered": newest, "files": len(files), "bytes": sum(size for size, _ in files.values())}
        return Seen(digest([where, sorted(files.items())])[:32], f"{where} is there: {len(files)} file(s)", facts)

    def _full(self) -> str:
        """Return the path as a whole: a relative one lies below a root."""
        from airflow_mlops_provider.hooks import defaults
        from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook

        path = filled("path", self.path)
        if "://" in path or path.startswith("/"):
            return path
        root = self.root or ArtifactStoreHook(self.conn_id).settings()["root"]
        root = root if self.root or self.conn_id else defaults.landing_root(root)
        return f"{root.rstrip('/')}/{path}"

    def _environment(self) -> dict[str, str]:
        from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook

        return ArtifactStoreHook(self.conn_id).secrets()


@lru_cache(maxsize=16)
def _opened(root: str, environment: tuple[tuple[str, str], ...]) -> Landing:
    """Return a root: all that wait there share a bucket's client, which takes long to make, and its connections."""
    from airflow_mlops_provider.backends.tables.landing import Landing

    return Landing(root, dict(environment))


@dataclass(eq=False, repr=False)
class RunEndsTrigger(FieldsTrigger):
    """Fires when a run of a DAG has ended, well or not, or is no more. :param seconds: pause between two looks."""

    dag_id: str
    run_id: str
    seconds: float

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Query Airflow, in a thread of its own, until the run has ended."""
        while await asyncio.to_thread(self._underway):  # noqa: ASYNC110 - the run is another process's
            await asyncio.sleep(self.seconds)
        yield TriggerEvent({"ended": self.run_id})

    def _underway(self) -> bool:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        return bool(RuntimeTaskInstance.get_dr_count(dag_id=self.dag_id, run_ids=[self.run_id], states=UNDERWAY))
