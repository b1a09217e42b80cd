"""Git remotes and forges for tests: real repositories, served by git's own HTTP backend, and the forges' APIs.

The three APIs can't stand here; their doubles speak real HTTP and refuse whatever the real ones would: unknown paths,
missing or wrong headers, missing fields, branches that are not there, a second pull request for the same branches.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.factories.http_host import HttpHost

Answer = tuple[int, Any, dict[str, str]]
_GIT = ["git", "-c", "user.name=Somebody", "-c", "user.email=somebody@shop.example", "-c", "init.defaultBranch=main"]


def git(folder: Path, *arguments: str) -> str:
    """Run git in a repository, as a person there would, and return what it says."""
    command = [*_GIT, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def repository(folder: Path, files: dict[str, str]) -> Path:
    """Make a repository with one commit of some files on ``main``, and return its folder."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Begin")
    return folder


def bare(source: Path, folder: Path) -> Path:
    """Make a bare repository with all branches of another: what a remote is."""
    git(source, "clone", "--quiet", "--bare", str(source), str(folder))
    git(folder, "config", "http.receivepack", "true")
    return folder


def branches(folder: Path) -> dict[str, str]:
    """Return a repository's branches and their commits."""
    lines = git(folder, "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads").splitlines()
    return dict(line.split() for line in lines)


@dataclass
class ForgeWorld(HttpHost):
    """One host: repositories below ``/<path>.git``, and the API of one kind of forge.

    :param repositories: bare repositories by their path, such as ``team/models``.
    :param token: what both ask for.
    :param kind: whose API it speaks.
    :param user: the user whom git must name; None for any.
    :param fails: answers to give in place of the next requests to the API, oldest first.
    """

    repositories: dict[str, Path]
    token: str
    kind: str = "github"
    user: str | None = None
    fails: list[Answer] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    tampers: Callable[[str], None] | None = None

    def remote(self, path: str = "team/models") -> str:
        """Return a repository's address for git."""
        return f"{self.url}/{path}.git"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request: git's own, or the API's."""
        body = _body(handler)
        self.asked.append(f"{handler.command} {handler.path}")
        if ".git/" in handler.path.partition("?")[0]:
            return self._git(handler, body)
        try:
            status, value, headers = self.fails.pop(0) if self.fails else self._api(handler, body)
        except RefusedError as refused:
            status, value, headers = refused.status, {"message": str(refused)}, {}
        return _send(handler, status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    def _git(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        path, _, query = handler.path.partition("?")
        name, _, rest = path.strip("/").partition(".git/")
        sent = base64.b64decode(handler.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        user, _, token = sent.partition(":")
        if token != self.token or self.user not in {None, user}:
            return _send(handler, 401, b"", {"WWW-Authenticate": 'Basic realm="git"'})
        if name not in self.repositories:
            return _send(handler, 404, b"Repository not found", {})
        if self.tampers and rest == "git-receive-pack":
            self.tampers(name)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.repositories[name]),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{rest}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": handler.command,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
            "REMOTE_USER": user or "somebody",
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return _send(handler, int(headers.pop("Status", "200 OK").split()[0]), content, headers)

    def _api(self, handler: BaseHTTPRequestHandler, body: bytes) -> Answer:
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        api = APIS[self.kind]
        found = re.fullmatch(api.path, parts.path)
        if not found:
            raise RefusedError(404, "404 Not Found")
        project = unquote(found[1])
        api.check(handler, self.token)
        if project not in self.repositories:
            raise RefusedError(404, "Not Found")
        if handler.command == "GET":
            return self._listed(api, project, query)
        if handler.headers.get("Content-Type") != "application/json":
            raise RefusedError(400, "Problems parsing JSON")
        return self._opened(api, project, json.loads(body))

    def _listed(self, api: Api, project: str, query: dict[str, str]) -> Answer:
        shown = [one for one in self.pulls if one["project"] == project and api.matches(one, query, project)]
        size, page = int(query.get(api.size, "30")), int(query.get("page", "1"))
        part, more = shown[(page - 1) * size : page * size], len(shown) > page * size
        headers = {"Link": f'<{self.url}/next?page={page + 1}>; rel="next"'} if more else {}
        return 200, [api.shown(one, self.url) for one in part], headers

    def _opened(self, api: Api, project: str, form: dict[str, Any]) -> Answer:
        unknown = set(form) - set(api.fields)
        missing = set(api.required) - {name for name, value in form.items() if value}
        if unknown or missing:
            raise RefusedError(422 if self.kind != "gitlab" else 400, f"unknown {unknown}, missing {missing}")
        head, base = (form[name] for name in api.ends)
        known = branches(self.repositories[project])
        if head not in known or base not in known or known[head] == known[base]:
            raise RefusedError(422, "Validation Failed: no commits between them")
        if any((one["head"], one["base"], one["state"]) == (head, base, "open") for one in self.pulls):
            raise RefusedError(*api.taken)
        new = {"number": len(self.pulls) + 1, "head": head, "base": base, "state": "open", "project": project}
        self.pulls.append({**new, "title": form["title"], "body": form.get(api.body, "")})
        return 201, api.shown(self.pulls[-1], self.url), {}


class RefusedError(Exception):
    """A request that the real forge would refuse too."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """GitHub's, as its REST reference describes pull requests; the others differ from it."""

    path = r"/api/v3/repos/([\w.-]+/[\w.-]+)/pulls"
    fields = ("title", "body", "head", "base", "draft", "maintainer_can_modify")
    required = ("title", "head", "base")
    ends = ("head", "base")
    body = "body"
    size = "per_page"
    taken = (422, "Validation Failed: A pull request already exists for team:branch.")

    @staticmethod
    def check(handler: BaseHTTPRequestHandler, token: str) -> None:
        """Refuse whoever does not say who they are, as GitHub wants it said."""
        if handler.headers.get("Authorization") != f"Bearer {token}":
            raise RefusedError(401, "Bad credentials")
        if not handler.headers.get("User-Agent") or handler.headers.get("Accept") != "application/vnd.github+json":
            raise RefusedError(403, "Request forbidden by administrative rules")
        if handler.headers.get("X-GitHub-Api-Version") not in {None, "2022-11-28"}:
            raise RefusedError(400, "not a supported version")

    @staticmethod
    def matches(one: dict[str, Any], query: dict[str, str], project: str) -> bool:
        """Say whether a pull request is asked for; GitHub ignores a head that names no owner."""
        owner, _, head = query.get("head", "").partition(":")
        asked = not head or (project.startswith(f"{owner}/") and head == one["head"])
        return asked and query.get("base", one["base"]) == one["base"] and query.get("state", "open") == one["state"]

    @staticmethod
    def shown(one: dict[str, Any], url: str) -> dict[str, Any]:
        """Return a pull request as the API shows it."""
        ends = {
            end: {"ref": one[end], "repo": {"full_name": one.get("from", one["project"])}} for end in ("head", "base")
        }
        return {"number": one["number"], "html_url": f"{url}/{one['project']}/pull/{one['number']}", "id": 77, **ends}


class GitLabApi(Api):
    """GitLab's merge requests: the project's path is one encoded segment, the number that people see is ``iid``."""

    path = r"/api/v4/projects/([\w.-]+(?:%2F[\w.-]+)+)/merge_requests"
    fields = ("title", "description", "source_branch", "target_branch", "remove_source_branch", "squash", "labels")
    required = ("title", "source_branch", "target_branch")
    ends = ("source_branch", "target_branch")
    body = "description"
    taken = (409, "Another open merge request already exists for this source branch: !1")

    @staticmethod
    def check(handler: BaseHTTPRequestHandler, token: str) -> None:
        if handler.headers.get("PRIVATE-TOKEN") != token:
            raise RefusedError(401, "401 Unauthorized")

    @staticmethod
    def matches(one: dict[str, Any], query: dict[str, str], project: str) -> bool:
        asked = query.get("source_branch", one["head"]), query.get("target_branch", one["base"])
        state = {"opened": "open"}.get(query.get("state", ""), query.get("state", "open"))
        return (one["head"], one["base"], one["state"]) == (*asked, state)

    @staticmethod
    def shown(one: dict[str, Any], url: str) -> dict[str, Any]:
        return {
            "id": 9000 + one["number"],
            "iid": one["number"],
            "web_url": f"{url}/{one['project']}/-/merge_requests/{one['number']}",
            "source_branch": one["head"],
            "target_branch": one["base"],
            "source_project_id": 2 if one.get("from", one["project"]) != one["project"] else 1,
            "target_project_id": 1,
        }


class GiteaApi(Api):
    """Gitea's pull requests: no head to search by, at most 50 on a page."""

    path = r"/api/v1/repos/([\w.-]+/[\w.-]+)/pulls"
    fields = ("title", "body", "head", "base", "assignee", "labels", "milestone")
    size = "limit"
    taken = (409, "pull request already exists for these targets")

    @staticmethod
    def check(handler: BaseHTTPRequestHandler, token: str) -> None:
        if handler.headers.get("Authorization") != f"token {token}":
            raise RefusedError(401, "token is required")

    @staticmethod
    def matches(one: dict[str, Any], query: dict[str, str], project: str) -> bool:
        return query.get("state", "open") == one["state"]


APIS: dict[str, type[Api]] = {"github": Api, "gitlab": GitLabApi, "gitea": GiteaApi}


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    parts = []
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        parts.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(parts)


def _send(handler: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(content))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)
