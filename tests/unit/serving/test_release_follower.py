"""Which version is live: what is wanted, as far as the ledger allows it; else the one before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.serving.answers import Answers
from airflow_mlops_provider.serving.metrics import Metrics
from airflow_mlops_provider.serving.prediction_log import PredictionLog
from airflow_mlops_provider.serving.release_follower import ReleaseFollower
from tests.factories.serving import (
    NAME,
    enter,
    make_release,
    request_release,
)


@pytest.fixture
def follower(shape: Scoring, tmp_path: Path) -> ReleaseFollower:
    metrics = Metrics(NAME, (0.5, 1.0))
    answers = Answers(NAME, PredictionLog(tmp_path / "log"), metrics)
    return ReleaseFollower(NAME, shape, str(tmp_path), metrics, answers, retry=0.2)


def test_falls_back_to_what_was_live(follower: ReleaseFollower, tmp_path: Path) -> None:
    """A server that starts while the wanted version is broken serves the one that the ledger calls live."""
    good, bad = make_release(tmp_path, 1), make_release(tmp_path, 2)
    enter(tmp_path, good.model, Status.LIVE)
    request_release(tmp_path, bad.model_copy(update={"model_hash": "0" * 64}))
    follower.follow()
    assert follower.live is not None and follower.live.release.version == 1
    assert follower.failure is not None and follower.failure.version == 2


def test_starts_with_the_live_version_without_any_wish(follower: ReleaseFollower, tmp_path: Path) -> None:
    """A server that finds no pointer serves what the ledger calls live."""
    enter(tmp_path, make_release(tmp_path, 1).model, Status.LIVE)
    follower.follow()
    assert follower.live is not None and follower.live.release.version == 1


def forge(root: Path, what: str) -> Release:
    """Return a wish for version 2 that somebody wrote by hand."""
    good = make_release(root, 2)
    copy = root / NAME / "train" / "copy"
    outside = root.with_name(f"{root.name}-outside")
    for folder in (copy, outside):
        shutil.copytree(root / NAME / "train/model-2", folder)
    changes: dict[str, dict[str, Any]] = {
        "another hash": {"model_hash": "0" * 64},
        "another folder of the root": {"model_uri": copy.as_uri()},
        "outside the root": {"model_uri": outside.as_uri()},
        "out by dots": {"model_uri": f"{root.as_uri()}/../{root.name}-outside"},
        "another scheme": {"model_uri": "http://127.0.0.1:9/model-2"},
        "another model's number": {"model_hash": make_release(root, 3).model_hash},
        "a number nobody knows": {"version": 77},
    }
    return good.model_copy(update=changes[what])


FORGED = (
    *("another hash", "another folder of the root", "outside the root", "out by dots", "another scheme"),
    *("another model's number", "a number nobody knows"),
)


@pytest.mark.parametrize("what", FORGED)
def test_a_wish_beside_the_ledger_is_refused(follower: ReleaseFollower, tmp_path: Path, what: str, caplog: Any) -> None:
    """A pointer to anything but the registered model is shown as a failure, told once, and changes nothing."""
    follower.retry = 0
    request_release(tmp_path, make_release(tmp_path, 1))
    follower.follow()
    serving = follower.live
    wish = request_release(tmp_path, forge(tmp_path, what))
    for _ in range(3):
        follower.follow()
    assert follower.live is serving
    assert follower.failure is not None and follower.failure.version == wish.version
    assert len([one for one in caplog.records if "cannot serve" in one.message]) == 1


@pytest.mark.parametrize("moves", [(Status.REJECTED,), (Status.RETIRED,), (Status.LIVE, Status.RETIRED)])
def test_a_version_that_may_not_be_live_is_refused(
    follower: ReleaseFollower, tmp_path: Path, moves: tuple[Status, ...]
) -> None:
    """A rejected or retired version is not served, whatever the pointer says."""
    wanted = make_release(tmp_path, 1)
    enter(tmp_path, wanted.model, *moves)
    request_release(tmp_path, wanted)
    follower.follow()
    assert follower.live is None
    assert follower.failure is not None and f"is {moves[-1].value}" in follower.failure.error


def test_a_root_that_was_moved_serves_on(follower: ReleaseFollower, tmp_path: Path) -> None:
    """A model is found below the server's own root, by its address, if the ledger tells of it at an earlier place."""
    made = make_release(tmp_path / "before", 1).model
    address = f"{NAME}/train/{'a' * 32}/{made.hash[:16]}"
    shutil.copytree(Path(made.uri.removeprefix("file://")), tmp_path / address)
    there = made.model_copy(update={"uri": f"file:///gone/{address}"})
    enter(tmp_path, there, Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY, Status.LIVE)
    follower.follow()
    assert follower.live is not None and follower.live.release.version == 1
