"""Sensors wait deferred or in their worker by the same look, from the same beginning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError
from airflow_mlops_provider.sensors.base import StateSensor
from airflow_mlops_provider.triggers.base import NOTHING, Seen, StateTrigger
from tests.factories.waiting import Store, context, waits


@dataclass(eq=False, repr=False, kw_only=True)
class Things(StateTrigger):
    """Looks at one state after another."""

    left: ClassVar[list[Any]] = []
    level: bool = False

    @property
    def changes(self) -> bool:
        return not self.level

    def look(self) -> Seen:
        state = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(state, Exception):
            raise state
        return Seen(state, f"it is {state}", {"thing": state})


class ThingSensor(StateSensor):
    """Waits for another thing."""

    trigger_class = Things
    template_fields = ("level", "conn_id")

    def __init__(self, *, level: bool = False, **kwargs: Any) -> None:
        super().__init__(task_id="wait", poke_interval=0, **kwargs)
        self.level = level


def looks(*states: Any) -> None:
    """Say what the next looks see; the last is seen for ever."""
    Things.left[:] = states


def test_in_the_worker_it_looks_until_something_is_new() -> None:
    """It hands on what it saw."""
    looks("a", "a", None, "b")
    assert ThingSensor(deferrable=False).execute(context()) == {"thing": "b"}
    assert Things.left == ["b"]


def test_deferred_the_trigger_knows_the_beginning() -> None:
    """A change between the look and the trigger's start is not lost; the task hands on what the trigger saw."""
    looks("a")
    sensor = ThingSensor(deferrable=True)
    assert waits(sensor, context()).since == "a"
    assert sensor.resume(context(), {"state": "b", "thing": "b"}) == {"thing": "b"}


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_state_that_is_waited_for_may_hold_already(deferrable: bool) -> None:
    """Then the task does not wait at all, and nothing is deferred."""
    looks("a")
    assert ThingSensor(level=True, deferrable=deferrable).execute(context()) == {"thing": "a"}
    looks(None)
    assert waits(ThingSensor(level=True, deferrable=True), context()).since == NOTHING


def test_a_retry_goes_by_the_first_try() -> None:
    """What changed while the task lay dead counts; once done, the beginning is forgotten."""
    store = Store()
    looks("a")
    waits(ThingSensor(deferrable=True), context(store=store))
    looks("b")
    assert ThingSensor(deferrable=True).execute(context(store=store)) == {"thing": "b"}
    assert store == {}


@pytest.mark.parametrize("deferrable", [True, False])
def test_what_is_wrong_from_the_start_is_told_at_once(deferrable: bool) -> None:
    """A setting that cannot work is not retried; a service that does not answer at the first look is an error."""
    looks(ConfigurationError("no such view"))
    with pytest.raises(AirflowFailException, match="no such view"):
        ThingSensor(deferrable=deferrable).execute(context())
    looks(BackendError("down"))
    with pytest.raises(BackendError, match="down"):
        ThingSensor(deferrable=deferrable).execute(context())


def test_an_outage_while_it_waits_is_no_failure() -> None:
    """A worker that waits goes on once the service answers again, also one that was deferred and looks in between."""
    looks("a", BackendError("down"), "b")
    assert ThingSensor(deferrable=False).execute(context()) == {"thing": "b"}
    looks(BackendError("down"))
    with pytest.raises(TaskDeferred):
        ThingSensor(deferrable=True).resume_execution("__fail__", {"error": "Trigger timeout"}, context())


def test_without_a_store_it_remembers_the_beginning_itself() -> None:
    """As long as the process lives."""
    looks("a", "a", "b")
    assert ThingSensor(deferrable=False).execute({"ti": context()["ti"]}) == {"thing": "b"}


def test_a_trigger_that_failed_is_not_started_in_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker looks itself, and waits a while before it defers again; a look that was due waits for nothing."""
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    looks("a")
    for error, expected in (("Trigger timeout", 0), ("Trigger failure", 1)):
        with pytest.raises(TaskDeferred):
            ThingSensor(deferrable=True).resume_execution("__fail__", {"error": error, "traceback": ["x"]}, context())
        assert len(pauses) == expected


def test_its_time_is_over_once() -> None:
    """The time is counted from the task's beginning, over all deferrals; ``soft_fail`` skips."""
    looks("a")
    late = context(timedelta(hours=2))
    with pytest.raises(AirflowSensorTimeout):
        ThingSensor(deferrable=True, timeout=3600).resume_execution("__fail__", {"error": "Trigger timeout"}, late)
    sensor = ThingSensor(deferrable=True, timeout=3600, soft_fail=True)
    with pytest.raises(AirflowSkipException):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, late)
