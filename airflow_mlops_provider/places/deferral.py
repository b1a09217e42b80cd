"""Deferral: a place may let its job run on without the worker, and goes on once a trigger has fired."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

#: What Airflow calls in place of a method when a task's trigger is no more.
TRIGGER_FAILED = "__fail__"
#: In place of an event: the trigger has failed, so the place must wait in this process.
STAY = {"stay": True}


class Deferred(Exception):  # noqa: N818 - nothing is wrong: the job goes on
    """The job goes on without this process; a trigger fires when there is something to decide.

    :param path: import path of the trigger's class; places must not import triggers.
    :param arguments: what it is made with, by name. They end up in Airflow's database: no secret is among them.
    """

    def __init__(self, path: str, arguments: dict[str, Any]) -> None:
        super().__init__(f"the job goes on; {path} waits for it")
        self.path, self.arguments = path, arguments

    def trigger(self) -> BaseTrigger:
        trigger: BaseTrigger = resolve_name(self.path)(**self.arguments)
        return trigger


class Resumable:
    """An operator that goes on where it was when its trigger fires, and waits itself if the trigger has failed."""

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on after a deferral. :param event: the payload of the trigger's event, or :data:`STAY`."""
        raise NotImplementedError

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on, also after a trigger that failed: what it waited for is still there."""
        if next_method == TRIGGER_FAILED:
            why = "\n".join((next_kwargs or {}).get("traceback") or ["it does not say why"])
            self.log.warning("the trigger failed, so this worker waits for the job:\n%s", why)  # type: ignore[attr-defined]
            return self.resume(context, STAY)
        return super().resume_execution(next_method, next_kwargs, context)  # type: ignore[misc]
