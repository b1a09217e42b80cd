"""Several replicas as one: what one lacks, all lack, and a candidate's counts are added up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_mlops_provider.backends.model_server.base import Replica, combined
from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.backends.model_server.state import LiveRelease, ServerState
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.release.replicas import added, together
from airflow_mlops_provider.lifecycle.release.rollout import Candidate, Observed

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def release(number: int) -> Release:
    """Return what asks for a version."""
    return Release.of(
        ModelVersion(name="shop", version=number, uri=f"file:///{number}", hash="0" * 64), requested_at=NOW
    )


def state(live: int, wanted: int, candidate: Candidate | None = None, started: datetime = NOW) -> ServerState:
    """Return what a server says that serves one version and is to serve another."""
    served = LiveRelease(**dict(release(live)), since=NOW)
    return ServerState(
        product="shop", root="/root", pid=1, started=started, live=served, desired=release(wanted), failure=None,
        not_ready=None, watermark=None, prediction_log="", candidate=candidate,
    )  # fmt: skip


def seen(number: int = 3, since: datetime | None = NOW, **observed: int) -> Candidate:
    """Return what a server says of a candidate."""
    phase = {"mode": Status.SHADOW, "share": 0.0, "requested_at": NOW, "since": since}
    return Candidate(version=number, observed=Observed(**observed), **phase)


def test_one_that_is_silent_or_behind_speaks_for_all() -> None:
    """Whether it is behind by a version, or by a step back."""
    assert combined([]) is None
    assert combined([Replica("a", state(2, 2)), Replica("b", None)]) is None
    for live, wanted in ((1, 2), (2, 1)):
        replicas = [Replica("a", state(wanted, wanted)), Replica("b", state(live, wanted))]
        for order in (replicas, replicas[::-1]):
            together_ = combined(order)
            assert together_ is not None and together_.version == live
    later = NOW + timedelta(minutes=1)
    whole = combined([Replica("a", state(2, 2)), Replica("b", state(2, 2, started=later))])
    assert whole is not None and (whole.version, whole.started) == (2, later)


def test_one_that_has_not_read_of_a_release_is_behind() -> None:
    """It serves what it believes is wanted, in whichever order they are asked."""
    fresh, stale = state(2, 2), state(1, 1)
    assert fresh.desired
    wanted = fresh.desired.model_copy(update={"requested_at": fresh.desired.requested_at + timedelta(seconds=1)})
    replicas = [Replica("a", fresh.model_copy(update={"desired": wanted})), Replica("b", stale)]
    for order in (replicas, replicas[::-1]):
        together_ = combined(order)
        assert together_ is not None and together_.version == 1
        assert together_.desired == wanted


def test_a_candidate_is_known_when_all_know_it() -> None:
    """Its counts are the sum; it is loaded since the last one loaded it; a failure of one is its failure."""
    later = NOW + timedelta(minutes=1)
    both = together([seen(calls=3, errors=1), seen(since=later, calls=4)])
    assert both is not None and (both.observed.calls, both.observed.errors, both.since) == (7, 1, later)
    assert together([seen(), None]) is None
    assert together([seen(), seen(4)]) is None
    assert together([]) is None
    half = together([seen(), seen(since=None).model_copy(update={"failure": "no such column"})])
    assert half is not None and (half.since, half.failure) == (None, "no such column")


def test_counts_are_added() -> None:
    """Numbers, histograms and bounds; memory is one process's; what has no answers yet adds none."""
    one = Observed(calls=1, dropped=2, missing={1: 1}, seconds={5: 2}, answers=(1, 2), live_answers=(3, 0), memory=7)
    other = Observed(calls=2, missing={1: 2, 3: 1}, seconds={6: 1}, answers=(4, 5), memory=9)
    assert added([one]) is one
    assert added([one, other]) == Observed(
        calls=3, dropped=2, missing={1: 3, 3: 1}, seconds={5: 2, 6: 1}, answers=(5, 7), live_answers=(3, 0), memory=9
    )
