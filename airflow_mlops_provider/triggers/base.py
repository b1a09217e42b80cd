"""What triggers that look for something share: made again from their fields, never blocking, each change told once.

A sensor uses the same trigger whether it waits in its worker or deferred: :meth:`StateTrigger.look` reads, and
:func:`is_new` decides. The trigger of a sensor is also that of an asset watcher.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError
from airflow_mlops_provider.hooks.base import looked_up_once
from airflow_mlops_provider.lifecycle.frozen import digest

#: As ``since``: nothing was there before, so that whatever holds is new.
NOTHING = ""
#: For so many seconds a trigger's looks share what they have read of connections; a look that fails ends that, too.
KEPT_SECONDS = 300.0
#: By so much a look comes after the moment for which it was due.
SLACK_SECONDS = 0.05


@dataclass(frozen=True)
class Seen:
    """What a look saw.

    :param state: what holds now, as a short text that is another one when it has changed; None while nothing does.
    :param text: the same, or what is still missing, for a log.
    :param facts: what an event and an XCom carry of it, as plain JSON.
    :param due: a moment to come at which it may become another; None where none is known.
    """

    state: str | None
    text: str
    facts: dict[str, Any] = field(default_factory=dict)
    due: datetime | None = None


def is_new(seen: Seen, since: str) -> bool:
    """Say whether something holds, and is not what was known before."""
    return seen.state is not None and seen.state != since


@dataclass(eq=False, repr=False)
class FieldsTrigger(BaseTrigger):
    """A trigger that is made again from its fields."""

    def __post_init__(self) -> None:
        super().__init__()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        arguments = {field.name: getattr(self, field.name) for field in fields(self)}
        return f"{type(self).__module__}.{type(self).__name__}", arguments


@dataclass(eq=False, repr=False, kw_only=True)
class StateTrigger(FieldsTrigger, BaseEventTrigger):
    """Looks at something again and again, and fires each time that it has become another.

    A deferred task takes the first event, an asset watcher every one. A watcher's state is kept with its asset: what
    changes while no triggerer runs fires when one does, and an event that got lost on its way is sent again.

    :param conn_id: the service's connection; by default the one that its hook takes.
    :param since: what is known already; None for what the first look sees, :data:`NOTHING` for nothing.
    :param seconds: pause between two looks.
    """

    supports_triggerer_queue = True  # those of a deferred task's own queue

    conn_id: str | None = None
    since: str | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._connections, self._since = dict[str, Any](), 0.0

    @property
    def changes(self) -> bool:
        """Whether a sensor waits for what holds at its first look to change, rather than for something to hold."""
        return False

    def look(self) -> Seen:
        """Return what is there now. It may block, and is called in a thread.

        :raises MLOpsError: if that cannot be known.
        """
        raise NotImplementedError

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the end of days; whoever has had enough ends it."""
        kept = await self._kept()
        last, text = self.since if kept is None else kept, ""
        while True:
            seen = await self._look()
            if seen and seen.text != text:
                self.log.info("%s", text := seen.text)
            if seen and last is not None and is_new(seen, last):
                yield TriggerEvent({"state": seen.state, **seen.facts})
                if self.task_instance is not None:
                    return
            last = (seen.state or NOTHING) if seen else last
            await asyncio.sleep(self._pause(seen))
            # Only now, since an event is stored a moment after it was sent: rather twice than never.
            if last is not None and last != kept:
                await self._keep(kept := last)

    def _pause(self, seen: Seen | None) -> float:
        if seen is None or seen.due is None:
            return self.seconds
        return min(self.seconds, max(0.0, (seen.due - datetime.now(UTC)).total_seconds()) + SLACK_SECONDS)

    async def _look(self) -> Seen | None:
        if time.monotonic() - self._since > KEPT_SECONDS:
            self._connections, self._since = {}, time.monotonic()
        try:
            with looked_up_once(self._connections):
                return await asyncio.to_thread(self.look)
        except Exception as error:
            self._connections = {}
            # What no waiting mends ends a deferral, and the worker says so; a watcher that ended would stay silent.
            if self.task_instance is not None and not (isinstance(error, MLOpsError) and error.retryable):
                raise
            self.log.warning("%s: %s", type(error).__name__, error)
            return None

    async def _kept(self) -> str | None:
        """Return what this watcher saw last; None if it never looked, or is no watcher."""
        return await self._store.aget(self._key) if self._store is not None else None

    async def _keep(self, state: str) -> None:
        if self._store is not None:
            await self._store.aset(self._key, state)

    @property
    def _store(self) -> Any:
        # Of a trigger that several assets watch with, which is one for Airflow, nothing is kept.
        store = self.asset_state_store
        return store if store is not None and len([*store._by_name, *store._by_uri]) == 1 else None  # noqa: SLF001

    @property
    def _key(self) -> str:
        kind, arguments = self.serialize()
        return f"mlops_{digest([kind, {**arguments, 'seconds': None}])[:16]}"


def number(name: str, value: Any) -> float:
    """Return a number that a template may have rendered as text. :raises ConfigurationError: if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} is {value!r}, not a number") from None


def whole(name: str, value: Any) -> int | None:
    """Return a whole number above 0, None for an empty field. :raises ConfigurationError: for anything else."""
    text = str(value).strip()
    if text in {"", "None"}:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"{name} is {value!r}, not a whole number from 1 on")
    return int(text)


def filled(name: str, value: Any) -> str:
    """Return a text that is not empty. :raises ConfigurationError: if it is none."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} is {value!r}; give a text that is not empty")
    return value.strip()


def one_of(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Return one of some words. :raises ConfigurationError: for another one."""
    if value not in allowed:
        raise ConfigurationError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
    return str(value)


def shown(moment: datetime) -> str:
    """Return a moment in UTC for a log, and as a state."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")
