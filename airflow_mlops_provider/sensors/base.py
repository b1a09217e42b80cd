"""What all sensors share: they wait deferred or in their worker, by the same look and the same decision."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.places.deferral import TRIGGER_FAILED
from airflow_mlops_provider.places.retry_policy import final_failures
from airflow_mlops_provider.triggers.base import NOTHING, Seen, StateTrigger, is_new

if TYPE_CHECKING:
    from airflow.sdk import Context

#: What Airflow says of a trigger whose time was up.
TIME_IS_UP = "Trigger timeout"


class StateSensor(BaseSensorOperator):
    """Waits until its trigger sees something new. A subclass's template fields are its trigger's fields.

    A service that does not answer is waited for as well; but the first look tells what is wrong at once.

    :param conn_id: the service's connection.
    :param deferrable: wait in the triggerer, where that holds no worker.
    :param refresh_after: after how long a deferred sensor's arguments are read again: the DAG may have changed.
    :cvar trigger_class: the trigger that looks.
    """

    trigger_class: ClassVar[type[StateTrigger]]

    def __init__(
        self,
        *,
        conn_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        refresh_after: timedelta = timedelta(minutes=10),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self.deferrable = deferrable
        self.refresh_after = refresh_after
        self._answered, self._troubled = False, False
        self._begin: str | None = None

    def execute(self, context: Context) -> Any:
        """Return what was seen once it is new; defer, or look again and again, until then."""
        with final_failures():
            if not self.deferrable:
                return super().execute(context)
            trigger, seen = self.look(context)
        if is_new(seen, trigger.since or NOTHING):
            return self.done(trigger, seen.facts, context)
        self.log.info("waiting: %s", seen.text)
        return self.wait(trigger, context)

    def poke(self, context: Context) -> PokeReturnValue:
        trigger, seen = self.look(context)
        if is_new(seen, trigger.since or NOTHING):
            return PokeReturnValue(is_done=True, xcom_value=self.done(trigger, seen.facts, context))
        self.log.info("waiting: %s", seen.text)
        return PokeReturnValue(is_done=False)

    def trigger(self, context: Context) -> StateTrigger:
        """Return the trigger that the rendered fields make. :raises ConfigurationError: for what no trigger takes."""
        return self.trigger_class(**{name: getattr(self, name) for name in self.template_fields}, seconds=self.pause)

    @property
    def pause(self) -> float:
        """Seconds between two looks."""
        return float(self.poke_interval)

    def look(self, context: Context) -> tuple[StateTrigger, Seen]:
        """Return the trigger, knowing what came before, and what it sees.

        :raises MLOpsError: if that cannot be known. A service that has answered before may be silent for a while.
        """
        trigger, first = self.trigger(context), None
        try:
            seen = trigger.look()
            self._answered, first = True, seen.state or NOTHING
        except MLOpsError as error:
            if not self._answered or not error.retryable:
                raise
            seen = Seen(None, f"{type(error).__name__}: {error}")
        if trigger.since is None:
            trigger.since = self._beginning(trigger, first, context) if trigger.changes else NOTHING
        return trigger, seen

    def wait(self, trigger: Any, context: Context) -> NoReturn:
        """Go on in the triggerer."""
        left = self._time_left(context)
        if self._troubled:  # the trigger may fail again, and at once
            time.sleep(max(0.0, min(self.pause, left.total_seconds())))
        self.defer(trigger=trigger, method_name="resume", timeout=min(self.refresh_after, left))

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on with what the trigger saw."""
        facts = {name: value for name, value in event.items() if name != "state"}
        return self.done(self.trigger(context), facts, context)

    def done(self, trigger: StateTrigger, facts: dict[str, Any], context: Context) -> Any:
        """Return what the task hands on."""
        store = context.get("task_state_store")
        if trigger.changes and store is not None:
            store.delete(_key(trigger))
        self.log.info("waited for: %s", facts)
        return facts

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Look again after a while, and after a trigger that failed; fail only once the time is over."""
        if next_method == TRIGGER_FAILED and self._time_left(context) > timedelta():
            failure, self._answered = next_kwargs or {}, True
            self._troubled = failure.get("error") != TIME_IS_UP
            if self._troubled:
                self.log.warning(
                    "the trigger failed, so this worker looks:\n%s", "\n".join(failure.get("traceback") or ())
                )
            return self.execute(context)
        return super().resume_execution(next_method, next_kwargs, context)

    def _beginning(self, trigger: StateTrigger, first: str | None, context: Context) -> str | None:
        """Return what this task's first look saw, in whichever try and process that was.

        :param first: what it is if this was the first; None if nothing was seen.
        """
        store = context.get("task_state_store")
        kept = store.get(_key(trigger)) if store is not None else self._begin
        if kept is not None:
            return str(kept)
        self._begin = first
        if store is not None and first is not None:
            store.set(_key(trigger), first)
        return first

    def _time_left(self, context: Context) -> timedelta:
        began = context["ti"].start_date  # it began before it was first deferred
        return began + timedelta(seconds=self.timeout) - datetime.now(UTC)


def _key(trigger: StateTrigger) -> str:
    fields = {name: value for name, value in trigger.serialize()[1].items() if name not in {"since", "seconds"}}
    return f"mlops_{digest(fields)[:16]}"
