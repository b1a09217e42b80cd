"""Pull requests by a forge's own API, and what forges have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import httpx

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, ConflictError, MLOpsError
from airflow_mlops_provider.extensions import FORGES
from airflow_mlops_provider.lifecycle.records.spec import Repository

SECONDS = 30
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


class Forge(ABC):
    """What forges have in common: look first, then ask, and look again if somebody asked in between.

    :cvar pulls: the place of a repository's pull requests below the API's root; ``{project}`` is its path.
    :cvar page_field, number_field: where a pull request, as the API describes it, says its page and number.
    :cvar taken: the statuses that mean that there is one already.
    """

    pulls: ClassVar[str] = "/repos/{project}/pulls"
    page_field: ClassVar[str] = "html_url"
    number_field: ClassVar[str] = "number"
    taken: ClassVar[tuple[int, ...]] = (409,)

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
    def headers(self) -> dict[str, str]:
        """Return what tells the forge who asks."""

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
            answer = self._ask("POST", json=self.form(branch, base, title, body))
            new = answer.status_code == 201
            if new:
                pull = _json(answer)
            elif answer.status_code in self.taken:
                pull = self._find(branch, base)
            if pull is None:
                raise self._trouble(answer)
        return PullRequest(number=int(pull[self.number_field]), url=str(pull[self.page_field]), new=new)

    def _find(self, branch: str, base: str) -> dict[str, Any] | None:
        return next((pull for pull in self._open(branch, base) if self.is_it(pull, branch, base)), None)

    def _open(self, branch: str, base: str) -> Iterator[dict[str, Any]]:
        for page in range(1, _PAGES + 1):
            answer = self._ask("GET", params={**self.search(branch, base), "page": str(page)})
            if answer.status_code != 200:
                raise self._trouble(answer)
            pulls = _json(answer)
            yield from pulls
            if not pulls or "next" not in answer.links:
                return

    def _ask(self, method: str, **what: Any) -> httpx.Response:
        headers = {"User-Agent": "airflow-mlops-provider", **self.headers()}
        try:
            return httpx.request(method, f"{self.api}{self.address()}", headers=headers, timeout=SECONDS, **what)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BackendError(f"{self.api} does not answer: {error}") from None

    def address(self) -> str:
        """Return the place of the repository's pull requests below the API's root."""
        return self.pulls.format(project=self.project, quoted=quote(self.project, safe=""))

    def _trouble(self, answer: httpx.Response) -> MLOpsError:
        status, words = answer.status_code, self.credentials.hide(_message(answer))[:500]
        said = f"{self.api}{self.address()} answers with status {status} ({words})"
        limited = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
        if status in {408, 429} or status >= 500 or (status == 403 and limited):
            return BackendError(f"{said}; a retry may help")
        if status in {401, 403, 404}:
            return ConfigurationError(f"{said}: give a token that may see this repository and open pull requests")
        if 300 <= status < 400:
            return ConfigurationError(f"{said}: the repository has moved; give its new address")
        if status == 409:
            return ConflictError(f"{said}; a retry looks again")
        return ConfigurationError(said)


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


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise BackendError(f"{answer.request.url} answers, but not with JSON; is it a forge's API?") from None


def _message(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.reason_phrase
    parts = [body.get("message"), *(body.get("errors") or ())] if isinstance(body, dict) else [body]
    return "; ".join(str(part.get("message", part) if isinstance(part, dict) else part) for part in parts if part)
