"""Waits for commits in a git repository."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from airflow_mlops_provider.triggers.base import Seen, StateTrigger


@dataclass(eq=False, repr=False, kw_only=True)
class GitCommitTrigger(StateTrigger):
    """Fires when the head of a branch is another commit.

    :param branch: by default the connection's base branch, and without that the remote's own default.
    :param conn_id: a connection of type ``mlops_source``.
    :param since: the commit that is known already.
    """

    branch: str | None = None

    @property
    def changes(self) -> bool:
        return True

    def look(self) -> Seen:
        from airflow_mlops_provider.hooks.source import SourceHook

        hook = SourceHook(self.conn_id)
        with tempfile.TemporaryDirectory(prefix="mlops-git-") as folder:
            default, branches = hook.remote(Path(folder)).branches()
        branch = self.branch or hook.settings()["base"] or default or ""
        return head(hook.settings()["remote"], branch, branches)


def head(remote: str, branch: str, branches: dict[str, str]) -> Seen:
    """Return the commit at the head of a branch; a branch that is not there yet is waited for."""
    if branch not in branches:
        return Seen(None, f"{remote} has no branch {branch or 'yet'}")
    commit = branches[branch]
    return Seen(
        commit, f"{branch} of {remote} is {commit[:12]}", {"remote": remote, "branch": branch, "commit": commit}
    )
