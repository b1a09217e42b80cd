"""Which pods are nobody's any more: only what is plainly ours, and plainly finished or gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import TaskInstanceState

from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.places.base import GONE
from airflow_mlops_provider.places.kubernetes.decisions.identity import (
    DECIDED,
    INSTALLATION,
    MANAGED_BY,
    full_ids,
    label,
    labels,
)
from airflow_mlops_provider.places.kubernetes.orphans import FINISHED, OrphanVerdict, judge
from tests.factories.kube.pod_examples import BEGAN, pod

RUN = RunIdentity(dag_id="d", run_id="scheduled__2024-01-01T00:00:00+00:00", task_id="t", map_index=-1, try_number=1)
OURS = "team a / production"
ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


def ours(**more: str | None) -> dict[str, Any]:
    """Return a pod of ours that has failed; further labels, or None to take one away."""
    one = pod("Failed", "exit 1")
    wanted = {**labels(RUN), INSTALLATION: label(OURS), **more}
    one["metadata"]["labels"] = {key: value for key, value in wanted.items() if value is not None}
    one["metadata"]["annotations"] = full_ids(RUN)
    return one


def verdict_on(pod: dict[str, Any], state: str | None, hours: float = 0, keep_hours: float = 0) -> OrphanVerdict:
    """Return what becomes of a pod so many hours after it began."""
    return judge(pod, OURS, lambda run: state if run == RUN else GONE, BEGAN + timedelta(hours=hours), keep_hours)


def test_ours_is_judged() -> None:
    """A pod that names this provider, this installation and its task instance is judged by its task's state."""
    assert verdict_on(ours(), "failed") == (True, "is removed: its task is failed")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({MANAGED_BY[0]: "helm"}, "not managed by this provider"),
        ({MANAGED_BY[0]: None}, "not managed by this provider"),
        ({INSTALLATION: "another"}, "belongs to the installation 'another'"),
        ({INSTALLATION: None}, "names no installation"),
        ({INSTALLATION: ""}, "names no installation"),
    ],
)
def test_others_are_left_alone(more: dict[str, str | None], why: str) -> None:
    """A pod of somebody else stays, and so does one that names nobody."""
    assert not (verdict := verdict_on(ours(**more), GONE)).remove
    assert why in verdict.why


def test_what_is_not_plain_is_left_alone() -> None:
    """A pod without its annotations stays, without any of them too; one that is being deleted already is left to it."""
    for name in (None, *full_ids(RUN)):
        one = ours()
        one["metadata"]["annotations"] = {key: value for key, value in full_ids(RUN).items() if name and key != name}
        assert verdict_on(one, GONE) == (False, "does not say which task instance it runs for")
    going = ours()
    going["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    assert verdict_on(going, GONE) == (False, "is being deleted already")
    assert not verdict_on({"metadata": {"name": "bare"}}, GONE).remove


@pytest.mark.parametrize("state", [*(state.value for state in TaskInstanceState), None, GONE, "a state to come"])
def test_only_finished_ones_go(state: str | None) -> None:
    """Of all states that Airflow knows, and of those it may know one day, only the finished ones cost a pod."""
    verdict = verdict_on(ours(), state)
    assert verdict.remove == (state in ENDED | {GONE})
    assert str(state or "not scheduled yet") in verdict.why
    assert ENDED | {GONE} == FINISHED


@pytest.mark.parametrize(
    ("state", "hours", "goes"),
    [("failed", 71, False), ("failed", 72, True), ("success", 1, False), (GONE, 0, True), ("running", 99, False)],
)
def test_kept_pods_have_their_time(state: str, hours: int, goes: bool) -> None:
    """A pod kept for a look at it stays for the hours that were said, unless its run is deleted."""
    verdict = verdict_on(ours(**{DECIDED: "true"}), state, hours, keep_hours=72)
    assert verdict.remove is goes
