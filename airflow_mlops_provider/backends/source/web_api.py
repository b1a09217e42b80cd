"""The REST API of a host that keeps code or runs a team's CI: how it is asked, and what its refusals mean."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import httpx

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, ConflictError, MLOpsError

SECONDS = 30
#: How often what only reads is tried, and how long is waited in between at most, whatever the host wants.
TRIES, LONGEST_PAUSE = 3, 30.0


class WebApi:
    """A host's API.

    :cvar rights: what the token must allow, for who is refused.
    :cvar tries: how often a question is asked of a host that is busy or fails.
    """

    rights: ClassVar[str] = "see this repository"
    tries: ClassVar[int] = 1
    api: str
    credentials: Credentials

    def headers(self) -> dict[str, str]:
        """Return what tells the host who asks."""
        raise NotImplementedError

    def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        """Return the answer, whatever its status. :raises BackendError: if there is none.

        :param path: below the API's root. :param what: as ``httpx.request`` takes it.
        """
        headers = {"User-Agent": "airflow-mlops-provider", **self.headers(), **what.pop("headers", {})}
        for left in reversed(range(self.tries if method == "GET" else 1)):
            try:
                answer = httpx.request(method, f"{self.api}{path}", headers=headers, timeout=SECONDS, **what)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if not left:
                    raise BackendError(f"{self.api} does not answer: {self.credentials.hide(str(error))}") from None
                time.sleep(1)
                continue
            if not left or not _passes(answer):
                break
            time.sleep(_pause(answer))
        return answer

    def trouble(self, answer: httpx.Response, path: str) -> MLOpsError:
        """Return what a status that was not hoped for means."""
        status, words = answer.status_code, self.credentials.hide(_message(answer))[:500]
        said = f"{self.api}{path} answers with status {status} ({words})"
        if _passes(answer):
            return BackendError(f"{said}; a retry may help")
        if status in {401, 403, 404}:
            return ConfigurationError(f"{said}: give a token that may {self.rights}")
        if 300 <= status < 400:
            return ConfigurationError(f"{said}: the repository has moved; give its new address")
        if status == 409:
            return ConflictError(f"{said}; a retry looks again")
        return ConfigurationError(said)


def read_json(answer: httpx.Response) -> Any:
    """Return what an answer holds. :raises BackendError: if that is no JSON."""
    try:
        return answer.json()
    except ValueError:
        raise BackendError(f"{answer.request.url} answers, but not with JSON; is it an API?") from None


def _passes(answer: httpx.Response) -> bool:
    """Say whether a refusal passes with time: too many requests, or trouble of the host's own."""
    status = answer.status_code
    limited = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    return status in {408, 429} or status >= 500 or (status == 403 and limited)


def _pause(answer: httpx.Response) -> float:
    try:
        return min(float(answer.headers.get("retry-after", "1")), LONGEST_PAUSE)
    except ValueError:  # a date
        return LONGEST_PAUSE


def _message(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.reason_phrase
    parts = [body.get("message"), *(body.get("errors") or ())] if isinstance(body, dict) else [body]
    return "; ".join(str(part.get("message", part) if isinstance(part, dict) else part) for part in parts if part)
