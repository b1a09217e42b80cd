"""Commits in a real git repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.source import SourceHook
from airflow_mlops_provider.triggers.source import GitCommitTrigger
from tests.factories.forge import git
from tests.factories.waiting import fired


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit on ``main``, which the connection ``code`` names."""
    folder = tmp_path / "models"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    extra = {"remote": str(folder), "base": "main"}
    monkeypatch.setenv("AIRFLOW_CONN_CODE", json.dumps({"conn_type": "mlops_source", "extra": extra}))
    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", json.dumps({"conn_type": "mlops_source"}))
    return folder


def commit(folder: Path) -> None:
    """Make a commit."""
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "more")


def test_a_watcher_sees_each_commit_of_its_branch(remote: Path) -> None:
    """The head at its first look is known; commits elsewhere are nothing to it."""
    changes = [
        lambda: None,
        lambda: commit(remote),
        lambda: git(remote, "checkout", "--quiet", "-b", "other"),
        lambda: commit(remote),
    ]
    events = fired(GitCommitTrigger(conn_id="code"), *changes)
    head = git(remote, "rev-parse", "main").strip()
    assert events == [{"state": head, "remote": remote.as_uri(), "branch": "main", "commit": head}]


def test_a_branch_that_is_not_there_is_waited_for(remote: Path) -> None:
    """Its first commit is an event."""
    watcher = GitCommitTrigger(conn_id="code", branch="release")
    assert len(fired(watcher, lambda: git(remote, "branch", "release"), lambda: None)) == 1


def test_since_names_a_commit(remote: Path) -> None:
    """A watcher that is set up later misses nothing since then."""
    known = git(remote, "rev-parse", "main").strip()
    commit(remote)
    assert len(fired(GitCommitTrigger(conn_id="code", since=known))) == 1


def test_the_client_of_a_connection(remote: Path) -> None:
    """It speaks to the remote; without one the error names the connection."""
    default, branches = SourceHook("code").get_conn().branches()
    assert (default, list(branches)) == ("main", ["main"])
    with pytest.raises(ConfigurationError, match="'nowhere': has no remote"):
        GitCommitTrigger(conn_id="nowhere").look()
