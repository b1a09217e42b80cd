"""git, as a job may use it: plumbing only, no work tree, nothing of the user's own settings, no secret in sight."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow_mlops_provider.backends.source.access import Credentials, environment, trouble
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, UnknownNameError

SECONDS = 120
#: How many of a branch's commits are looked through for one of ours.
HISTORY = 30


@dataclass
class GitRemote:
    """One remote, spoken to from a scratch repository that is nobody's: no hooks, no configuration, no work tree.

    :param url: as :func:`checked_remote` returns it.
    :param folder: an empty folder for the scratch repository; the caller removes it, or gives it as ``scratch``.
    """

    url: str
    folder: Path
    credentials: Credentials
    seconds: float = SECONDS
    scratch: TemporaryDirectory[str] | None = None

    def branches(self) -> tuple[str | None, dict[str, str]]:
        """Return the remote's default branch, None if it has none, and the commit of each branch."""
        lines = self._git("ls-remote", "--symref", "--", self.url, "HEAD", "refs/heads/*").splitlines()
        default, branches = None, {}
        for line in lines:
            what, _, name = line.partition("\t")
            if what.startswith("ref: refs/heads/") and name == "HEAD":
                default = what.removeprefix("ref: refs/heads/")
            elif name.startswith("refs/heads/"):
                branches[name.removeprefix("refs/heads/")] = what
        return default, branches

    def fetch(self, branch: str, commits: int = 1) -> str:
        """Bring a branch's last commits here and return its tip."""
        if not (self.folder / "HEAD").exists():
            self._git("init", "--quiet", "--bare", str(self.folder))
        self._git("fetch", "--quiet", "--no-tags", f"--depth={commits}", "--", self.url, f"refs/heads/{branch}")
        return self._git("rev-parse", "FETCH_HEAD").strip()

    def show(self, commit: str, path: str) -> str | None:
        """Return a file's text in a commit; None if there is none."""
        listed = self._git("ls-tree", "-z", commit, "--", path).split("\0")[0]
        kind, _, name = listed.partition("\t")
        if name != path or " blob " not in kind or kind.startswith("120000"):
            return None
        return self._git("cat-file", "blob", kind.split(" ")[2])

    def find(self, commit: str, line: str) -> str | None:
        """Return the newest of the commits brought here whose message has a line; None if none has."""
        for candidate in self._git("rev-list", f"--max-count={HISTORY}", commit, "--").split():
            if line in self._git("cat-file", "commit", candidate).splitlines():
                return candidate
        return None

    def commit(self, parent: str, path: str, text: str, message: str, author: str, committer: str) -> str:
        """Make a commit that sets one file to a text and return it; nothing but that file is touched.

        :param author, committer: owners: a mail each, or the name of an Airflow user.
        """
        blob = self._git("hash-object", "-w", "--stdin", stdin=text).strip()
        self._git("read-tree", parent)
        self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
        tree = self._git("write-tree").strip()
        return self._git("commit-tree", tree, "-p", parent, stdin=message, env=_people(author, committer)).strip()

    def push(self, commit: str, branch: str) -> None:
        """Make a commit the tip of a branch, new or not, never by force. :raises ConflictError: if it has moved on."""
        self._git("push", "--quiet", "--porcelain", "--", self.url, f"{commit}:refs/heads/{branch}")

    def begin(self, folder: Path, author: str) -> None:
        """Make this repository anew, bare, and a commit on ``main`` that holds a folder's files as they lie there."""
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(self.folder))
        self._git(f"--work-tree={folder.parent}", "add", "--", folder.name, ":(exclude)**/__pycache__/**")
        tree, message = self._git("write-tree").strip(), f"{folder.name} as it is\n"
        commit = self._git("commit-tree", tree, stdin=message, env=_people(author, author))
        self._git("update-ref", "refs/heads/main", commit.strip())

    def _git(self, *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None) -> str:
        command = ["git", f"--git-dir={self.folder}", *arguments]
        try:
            done = subprocess.run(
                command,
                input=(stdin or "").encode(),
                capture_output=True,
                check=False,
                timeout=self.seconds,
                cwd=self.folder,
                env={**environment(self.url, self.credentials, self.folder), **(env or {})},
            )
        except FileNotFoundError:
            raise ConfigurationError("git is not installed here; install it where this job runs") from None
        except subprocess.TimeoutExpired:
            raise BackendError(f"{self.url} did not answer git {arguments[0]} within {self.seconds:g} s") from None
        output, said = (self.credentials.hide(part.decode(errors="replace")) for part in (done.stdout, done.stderr))
        if done.returncode:
            raise trouble(self.url, arguments, f"{said}\n{output}" if arguments[0] == "push" else said)
        return output


def _people(author: str, committer: str) -> dict[str, str]:
    """Return what tells git who they are; characters in which its format has a meaning are left out."""
    variables = {}
    for role, owner in (("AUTHOR", author), ("COMMITTER", committer)):
        name = re.sub(r"[\x00-\x1f<>\x7f]", "", owner.partition("@")[0]).strip(" .,:;'\"\\")
        variables[f"GIT_{role}_NAME"] = name or "mlops"
        variables[f"GIT_{role}_EMAIL"] = re.sub(r"[\x00-\x20<>\x7f]", "", owner) if "@" in owner else ""
    return variables


def known_branch(name: str, branches: Mapping[str, str]) -> str:
    """Return a branch's commit. :raises UnknownNameError: if the remote has none of that name."""
    if name not in branches:
        raise UnknownNameError("branch", name, sorted(branches)[:20])
    return branches[name]
