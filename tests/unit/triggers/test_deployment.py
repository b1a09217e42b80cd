"""When a rollout wakes its task: something to decide, a silent server, or labels to look at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_mlops_provider.backends.model_server import client
from airflow_mlops_provider.backends.model_server.base import Replica
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.lifecycle.release.deployment import Rollout
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.release.rollout import Candidate, Observed
from airflow_mlops_provider.triggers.deployment import RolloutTrigger

NOW = datetime(2024, 1, 1, tzinfo=UTC)
BEGAN = NOW - timedelta(hours=1)


def trigger(wake: datetime | None = None) -> RolloutTrigger:
    """Return what waits for version 2, made again as in another process."""
    times = {"began": BEGAN.isoformat(), "first": BEGAN.isoformat(), "wake": wake.isoformat() if wake else None}
    made = RolloutTrigger(
        product="eta", address="http://x", version=2, plan=Rollout().to_json(), status="canary", **times
    )
    return RolloutTrigger(**made.serialize()[1])


def state(calls: int = 10, errors: int = 0, version: int = 2, began: datetime = BEGAN) -> ServerState:
    """Return what a server says that has a candidate."""
    observed = Observed(calls=calls, errors=errors)
    said: dict[str, Any] = {"mode": Status.CANARY, "share": 0.1, "requested_at": began, "since": began}
    return ServerState.model_construct(
        started=BEGAN,
        live=None,
        desired=None,
        not_ready=None,
        candidate=Candidate(version=version, observed=observed, **said),
    )


@pytest.mark.parametrize(
    ("said", "wake", "fires"),
    [
        (state(), None, None),
        (state(calls=2000), None, "go on"),
        (state(calls=10, errors=10), None, "take back"),
        (state(), NOW - timedelta(seconds=1), "labels"),
        (state(), NOW + timedelta(seconds=1), None),
    ],
)
def test_it_fires_when_there_is_something_to_decide(
    said: ServerState, wake: datetime | None, fires: str | None
) -> None:
    """By the same judge as the job; what it fires names the version and decides nothing."""
    seen = trigger(wake).seen([Replica("one", said)], NOW)
    assert seen.state == fires
    assert seen.facts == {"version": 2}


def test_it_looks_when_the_phase_has_had_its_time() -> None:
    """Not up to five seconds later; once only calls are missing, every five seconds."""
    over = BEGAN + Rollout().bake
    looks = [trigger().seen([Replica("one", state())], now) for now in (over - timedelta(seconds=1), over)]
    assert [look.due for look in looks] == [over, None]


@pytest.mark.parametrize("said", [None, state(version=3), state(began=NOW)])
def test_a_server_may_be_silent_for_a_moment(said: ServerState | None) -> None:
    """One that doesn't answer, or knows of another candidate, is looked at three times in a row."""
    waiting, one, fine = trigger(), [Replica("one", said)], [Replica("one", state())]
    assert [waiting.seen(one, NOW).state for _ in range(2)] == [None, None]
    assert waiting.seen(fine, NOW).state is None
    assert [waiting.seen(one, NOW).state for _ in range(3)] == [None, None, "missing"]


def test_what_all_pods_have_seen_is_added_up() -> None:
    """Neither has had calls enough, both together have; errors of one are judged by all calls."""
    pods = [Replica("pod a", state(calls=600)), Replica("pod b", state(calls=600))]
    assert trigger().seen(pods[:1], NOW).state is None
    assert trigger().seen(pods, NOW).state == "go on"


@pytest.mark.parametrize("said", [None, state(version=3), state(began=NOW)])
def test_a_pod_that_lags_or_is_gone_is_named(said: ServerState | None) -> None:
    """Nothing is decided by the others' counts alone; it is named, and the job looks after a while."""
    pods, waiting = [Replica("pod a", state(calls=2000)), Replica("pod b", said)], trigger()
    looks = [waiting.seen(pods, NOW) for _ in range(3)]
    assert [look.state for look in looks] == [None, None, "missing"]
    assert looks[0].text == "pod b: no word of version 2"


def test_every_pod_is_asked_at_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with the connection's token; the one address only where none of them can be reached."""
    answers: dict[str, ServerState | None] = {"http://a": state(calls=600), "http://b": state(calls=600)}
    asked: list[tuple[str, str]] = []
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_MODEL_SERVER", '{"conn_type": "mlops_model_server", "password": "a-token"}')
    monkeypatch.setattr(client, "server_state", lambda url, token: asked.append((url, token)) or answers.get(url))
    waiting = replace(trigger(), replicas={"pod a": "http://a", "pod b": "http://b"})
    waiting.look()
    assert asked == [("http://a", "a-token"), ("http://b", "a-token")]
    answers |= {"http://a": None}
    assert waiting.look().text == "pod a: no word of version 2"
    answers |= {"http://b": None, "http://x": state()}
    asked.clear()
    waiting.look()
    assert [url for url, _ in asked] == ["http://a", "http://b", "http://x"]
