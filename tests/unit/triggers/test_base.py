"""Triggers that look: the first look is the baseline, each change fires once, and nothing is lost by a restart."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError
from airflow_mlops_provider.hooks.model_server import ModelServerHook
from airflow_mlops_provider.triggers import base
from airflow_mlops_provider.triggers.base import NOTHING, Seen, StateTrigger, is_new, number, whole
from tests.factories.waiting import Store, fired


@dataclass(eq=False, repr=False, kw_only=True)
class Thing(StateTrigger):
    """Looks at what the test says."""

    holds: ClassVar[Any] = None

    def look(self) -> Seen:
        if isinstance(self.holds, Exception):
            raise self.holds
        return Seen(self.holds, f"it is {self.holds}", {"thing": self.holds})


def becomes(what: Any) -> Any:
    """Return what makes the thing another."""
    return lambda: setattr(Thing, "holds", what)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Thing.holds = "a"


def test_the_first_look_is_the_baseline_and_each_change_fires_once() -> None:
    """What is there at first is known; then each other state is an event, also one that was there before."""
    changes = [becomes(what) for what in ("a", "b", "b", "a")]
    assert fired(Thing(), *changes) == [{"state": "b", "thing": "b"}, {"state": "a", "thing": "a"}]


@pytest.mark.parametrize(("since", "events"), [(NOTHING, ["a"]), ("b", ["a"]), ("a", [])])
def test_since_takes_the_place_of_the_baseline(since: str, events: list[str]) -> None:
    """Whoever says what is known already gets what is not."""
    assert [event["state"] for event in fired(Thing(since=since), becomes("a"))] == events


def test_what_goes_and_comes_back_is_new() -> None:
    """A state that held, did not hold and holds again fires again."""
    events = fired(Thing(since="a"), becomes(None), becomes("a"), becomes("a"))
    assert [event["state"] for event in events] == ["a"]


def test_a_restarted_watcher_misses_nothing_and_repeats_nothing() -> None:
    """What changed while no triggerer ran fires at its start; what was sent before does not."""
    store = Store()

    def watcher() -> Thing:
        trigger = Thing(since="a")
        trigger.asset_state_store = store
        return trigger

    assert [event["state"] for event in fired(watcher(), becomes("b"), becomes("b"), becomes("b"))] == ["b"]
    assert list(store.values()) == ["b"]
    assert fired(watcher(), becomes("b")) == []
    Thing.holds = "c"
    assert [event["state"] for event in fired(watcher())] == ["c"]


def test_an_event_that_was_not_kept_is_sent_again() -> None:
    """A triggerer that dies right after it sent an event sends it again: rather twice than never."""
    store = Store()
    for _ in range(2):
        trigger = Thing(since="a")
        trigger.asset_state_store, Thing.holds = store, "b"
        assert [event["state"] for event in fired(trigger)] == ["b"]


def test_a_service_that_does_not_answer_is_waited_for() -> None:
    """An outage neither ends the wait nor counts as a change."""
    events = fired(Thing(since="a"), becomes(BackendError("down")), becomes("a"), becomes("b"), becomes("b"))
    assert [event["state"] for event in events] == ["b"]


def test_what_no_waiting_mends_ends_a_deferral_but_no_watcher() -> None:
    """A task is failed by its worker; a watcher that ended would be silent for ever."""
    for error in (ConfigurationError("no such view"), OSError("stale file handle")):
        Thing.holds = error
        assert [event["state"] for event in fired(Thing(since="a"), becomes("b"), becomes("b"))] == ["b"]
    Thing.holds = ConfigurationError("no such view")
    assert [event["state"] for event in fired(Thing(since="a"), becomes("b"), becomes("b"))] == ["b"]
    Thing.holds = ConfigurationError("no such view")
    deferred = Thing(since="a")
    deferred.task_instance = SimpleNamespace(task_id="wait")  # type: ignore[assignment]  # as far as it is read
    with pytest.raises(ConfigurationError):
        asyncio.run(anext(deferred.run()))  # type: ignore[arg-type]  # an awaitable is enough


def test_a_deferred_task_takes_one_event() -> None:
    """Its trigger has ended then: Airflow need not cancel it, which would look like a person's doing."""
    deferred = Thing(since=NOTHING)
    deferred.task_instance = SimpleNamespace(task_id="wait")  # type: ignore[assignment]  # as far as it is read

    async def payloads() -> list[Any]:
        return [event.payload async for event in deferred.run()]

    assert asyncio.run(payloads()) == [{"state": "a", "thing": "a"}]


class Reads(Thing):
    """Looks by a connection that is there, and by one that is not, as each look of a service does."""

    def look(self) -> Seen:
        hook = ModelServerHook.named(None, "shop")
        return Seen(None, f"{hook.url} {super().look().text}")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections that Airflow was asked for."""
    asked: list[str] = []

    def get_connection(conn_id: str) -> Connection:
        asked.append(conn_id)
        if conn_id.endswith("shop"):
            raise AirflowNotFoundException
        return Connection(conn_id=conn_id, conn_type="mlops_model_server", host="here")

    monkeypatch.setattr(ModelServerHook, "get_connection", staticmethod(get_connection))
    return asked


def test_looks_share_what_they_read_of_connections(reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred looks ask once, for what is not there as well; after one that failed, and after a while, again."""
    both = ["mlops_model_server_shop", "mlops_model_server"]
    fired(Reads(), *[becomes("a")] * 100)
    assert reads == both
    fired(Reads(), becomes("a"))  # another trigger reads for itself
    assert reads == both * 2
    fired(Reads(), becomes("a"), becomes(BackendError("down")), becomes("a"), becomes("a"))
    assert reads == both * 4
    monkeypatch.setattr(base, "KEPT_SECONDS", -1.0)
    fired(Reads(), becomes("a"), becomes("a"))
    assert reads == both * 7


def test_what_is_due_sooner_is_looked_at_then() -> None:
    """A known moment cuts the pause short, also one that came while its look was on the way back."""
    now, trigger = datetime.now(UTC), Thing(seconds=30)
    waits = [trigger._pause(Seen(None, "", due=now + timedelta(seconds=left))) for left in (100, 3, -0.01)]
    assert waits[0] == trigger._pause(None) == trigger._pause(Seen(None, "")) == 30
    assert 2 < waits[1] < 3.1 and waits[2] < 0.1


def test_a_slow_look_blocks_no_other_trigger() -> None:
    """While one looks, the loop goes on."""

    class Slow(Thing):
        def look(self) -> Seen:
            time.sleep(0.5)
            return Seen("b", "slow")

    async def both() -> int:
        turns = 0
        looking = asyncio.ensure_future(anext(Slow(since="a").run()))  # type: ignore[arg-type]
        while not looking.done():
            turns += 1
            await asyncio.sleep(0.01)
        return turns

    assert asyncio.run(both()) > 5


def test_it_is_made_again_from_json() -> None:
    """What Airflow stores of a trigger makes the same one."""
    trigger = Thing(conn_id="c", since="a", seconds=3)
    kind, arguments = trigger.serialize()
    assert Thing(**json.loads(json.dumps(arguments))).serialize() == (kind, arguments)
    assert kind.endswith(".Thing")


def test_the_decision() -> None:
    """Something is new if it holds and was not known."""
    assert [is_new(Seen(state, ""), "a") for state in ("a", "b", None)] == [False, True, False]


@pytest.mark.parametrize("value", ["x", "-1", "0", "1.5", True])
def test_a_field_that_is_no_number_is_named(value: Any) -> None:
    """A template that renders to something else is refused, by the field's name."""
    with pytest.raises(ConfigurationError, match="version is "):
        whole("version", value)
    assert [whole("version", given) for given in ("7", 7, "", None, "None")] == [7, 7, None, None, None]
    with pytest.raises(ConfigurationError, match="threshold is 'x'"):
        number("threshold", "x")
