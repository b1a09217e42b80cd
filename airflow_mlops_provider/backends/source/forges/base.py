"""Pull requests by a forge's own API, and what forges have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.backends.source.web_api import WebApi, read_json
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.extensions import FORGES
from airflow_mlops_provider.lifecycle.records.spec import Repository

_PAGES = 20
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]*")


@dataclass(frozen=True)
class PullRequest:
    """An open pull request: its number, the page on which it is reviewed, and whether it was opened just now."""

    number: int
    url: str
    new: bool


def pull_request(
    repository: Repository, credentials: Credentials, *, branch: str, base: str, title: str, body: str
) -> PullRequest:
    """Return the open pull request of a branch, opening one if there is none.

    :raises ConfigurationError: if the forge refuses: credentials, repository, or what was asked.
    :raises BackendError: if it does not answer, or asks to come back later.
    """
    forge: type[Forge] = FORGES.find(repository.forge)
    return forge(repository, credentials).request(branch, base, title, body)


class Forge(WebApi, ABC):
    """What forges have in common: look first, then ask, and look again if somebody asked in between.

    :cvar pulls: the place of a repository's pull requests below the API's root; ``{project}`` is its path.
    :cvar page_field, number_field: where a pull request, as the API describes it, says its page and number.
    :cvar taken: the statuses that mean that there is one already.
    """

    pulls: ClassVar[str] = "/repos/{project}/pulls"
    page_field: ClassVar[str] = "html_url"
    number_field: ClassVar[str] = "number"
    taken: ClassVar[tuple[int, ...]] = (409,)
    rights = "see this repository and open pull requests"

    def __init__(self, repository: Repository, credentials: Credentials) -> None:
        if not credentials.token:
            raise ConfigurationError(f"a pull request on {repository.forge} needs a token; put it in the password")
        self.web, self.project = location(repository.remote)
        self.credentials = credentials
        self.api = (repository.api or self.default_api()).rstrip("/")

    @abstractmethod
    def default_api(self) -> str:
        """Return the API's root on the remote's own host."""

    @abstractmethod
    def search(self, branch: str, base: str) -> dict[str, str]:
        """Return the query for open pull requests, as narrow as the API allows."""

    def is_it(self, pull: dict[str, Any], branch: str, base: str) -> bool:
        """Say whether a pull request is that of the branch, and not of one so called in a fork."""
        where = (pull["head"].get("repo") or {}).get("full_name", "")
        return (pull["head"]["ref"], pull["base"]["ref"], where.lower()) == (branch, base, self.project.lower())

    def form(self, branch: str, base: str, title: str, body: str) -> dict[str, Any]:
        """Return what asks for a new one."""
        return {"title": title, "body": body, "head": branch, "base": base}

    def request(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Return the open pull request of a branch, opening one if there is none."""
        pull, new = self._find(branch, base), False
        if pull is None:
            answer = self.ask("POST", self.address(), json=self.form(branch, base, title, body))
            new = answer.status_code == 201
            if new:
                pull = read_json(answer)
            elif answer.status_code in self.taken:
                pull = self._find(branch, base)
            if pull is None:
                raise self.trouble(answer, self.address())
        return PullRequest(number=int(pull[self.number_field]), url=str(pull[self.page_field]), new=new)

    def _find(self, branch: str, base: str) -> dict[str, Any] | None:
        return next((pull for pull in self._open(branch, base) if self.is_it(pull, branch, base)), None)

    def _open(self, branch: str, base: str) -> Iterator[dict[str, Any]]:
        for page in range(1, _PAGES + 1):
            answer = self.ask("GET", self.address(), params={**self.search(branch, base), "page": str(page)})
            if answer.status_code != 200:
                raise self.trouble(answer, self.address())
            pulls = read_json(answer)
            yield from pulls
            if not pulls or "next" not in answer.links:
                return

    def address(self) -> str:
        """Return the place of the repository's pull requests below the API's root."""
        return self.pulls.format(project=self.project, quoted=quote(self.project, safe=""))


def location(remote: str) -> tuple[str, str]:
    """Return the web address of a remote's host, and the repository's path there without ``.git``.

    :raises ConfigurationError: if the remote is not on a host, or its path is not that of a repository.
    """
    if "://" not in remote:  # user@host:path
        host, _, path = remote.partition("@")[2].partition(":")
        web = f"https://{host}"
    else:
        parts = urlsplit(remote)
        http = parts.scheme.startswith("http")
        web, path = (f"{parts.scheme}://{parts.netloc}" if http else f"https://{parts.hostname}"), parts.path
        if not parts.hostname:
            raise ConfigurationError(f"{remote} is on no forge; make its kind plain, or give its address there")
    segments = path.strip("/").removesuffix(".git").split("/")
    if len(segments) < 2 or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise ConfigurationError(f"{remote} does not name a repository as owner/name")
    return web, "/".join(segments)
