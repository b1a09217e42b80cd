"""Which commit the code of a product is traced to: by its repository, else by what an image's build left beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from airflow_mlops_provider.lifecycle.records.manifest import Commit
from airflow_mlops_provider.runtime.code import COMMIT_FILE, commit_of

SHA = "0123456789" * 4


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of its own, in no repository."""
    (tmp_path / "shipped.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return "shipped"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (SHA, Commit(commit=SHA, dirty=False)),
        (f"{SHA}-dirty\n", Commit(commit=SHA, dirty=True)),
        ("", Commit()),
        (None, Commit()),
    ],
)
def test_an_image_tells_its_commit(module: str, tmp_path: Path, told: str | None, expected: Commit) -> None:
    """Without a repository the file beside the code is believed; an empty one, or none, tells nothing."""
    if told is not None:
        (tmp_path / COMMIT_FILE).write_text(told)
    assert commit_of(module) == expected


def test_a_repository_is_believed_first(module: str, tmp_path: Path) -> None:
    """A file left behind does not outdo the repository that the code stands in, nor its uncommitted changes."""

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / COMMIT_FILE).write_text(SHA)
    git("init", "-q")
    git("add", "shipped.py")
    git("commit", "-q", "-m", "first")
    expected = Commit(repository=str(tmp_path.resolve()), commit=git("rev-parse", "HEAD"), dirty=False)
    assert commit_of(module) == expected
    (tmp_path / "shipped.py").write_text("changed = True")
    assert commit_of(module) == expected.model_copy(update={"dirty": True})
