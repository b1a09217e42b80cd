"""Repositories on this machine: which one keeps a folder, and its code as it stood at a commit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigurationError

SECONDS = 300
# Set inside a hook, and by some editors: they would lead every command to another repository.
_ELSEWHERE = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}


def clone_at(repository: str, commit: str, folder: Path) -> Path:
    """Put a repository's files, as of a commit, into a new folder.

    A clone, not a worktree: a killed command leaves nothing behind in the repository itself.

    :param repository: a path or URL.
    :raises ConfigurationError: if the repository cannot be read or does not hold the commit.
    """
    try:
        # Objects are shared, not copied, so that a commit which no branch leads to any more is found as well.
        git("clone", "--quiet", "--shared", "--no-checkout", "--template=", repository, str(folder))
        git("-C", str(folder), "checkout", "--quiet", "--detach", commit)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip() or str(error)
        why = said.splitlines()[-1][:300]
        raise ConfigurationError(f"{repository} does not give commit {commit[:12]}: {why}") from None
    return folder


def file_at(repository: str, commit: str, path: str) -> bytes | None:
    """Return a file as of a commit; None if the repository, the commit or the file is not there."""
    try:
        return git("-C", repository, "show", f"{commit}:{path}")
    except (OSError, subprocess.SubprocessError):
        return None


def own_repository(folder: Path) -> tuple[Path, str] | None:
    """Return the top of the repository that keeps a folder's ``product.py``, and the folder's path in it.

    None if there is none: a copy that merely lies below some repository, such as an installed one, is not kept by it.
    """
    try:
        git("-C", str(folder), "ls-files", "--error-unmatch", "--", "product.py")
        top, path = git("-C", str(folder), "rev-parse", "--show-toplevel", "--show-prefix").decode().split("\n")[:2]
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(top), path.strip("/")


def git(*arguments: str) -> bytes:
    """Return what a git command prints. :raises SubprocessError: if it fails, or takes minutes."""
    env = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE} | {"GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(["git", *arguments], capture_output=True, check=True, timeout=SECONDS, env=env).stdout
