"""Runs of a team's CI by its own API: begun once, found again by a key, and what became of them."""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import httpx

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.backends.source.web_api import SECONDS, WebApi, read_json
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError
from airflow_mlops_provider.lifecycle.release.build import BILL_FILE

#: How long a run that was begun may take to be seen.
SEEN_SECONDS, PAUSE = 60.0, 2.0
#: The file in which a run says the image that it has pushed, ``name@sha256:…``, and the artifact that holds it, beside
#: the image's bill of materials.
IMAGE_FILE, IMAGE_ARTIFACT = "image.txt", "image"
#: A file that is larger is none of these.
LARGEST = 32 * 2**20
_IMAGE = re.compile(r"[\w./:-]{1,300}@sha256:[0-9a-f]{64}")
_PAGES = 20


class State(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    GREEN = "green"
    RED = "red"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class CIRun:
    """A run.

    :param id: by which its system knows it. :param url: the page on which people see it.
    :param said: the system's own word for its end. :param commit: of what; None while that is not known.
    """

    id: str
    url: str
    state: State
    said: str = ""
    commit: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state is not State.RUNNING


class CISystem(WebApi, ABC):
    """The CI of one repository, or job.

    :param url: the host, as people open it.
    :param project: its path there.
    :param workflow: which of several in the repository is meant, where the system has that.
    :cvar default_url: the host that is meant without one; None if there is none.
    :cvar key_name: the input by which a run is told the key.
    """

    default_url: ClassVar[str | None] = None
    key_name: ClassVar[str] = "MLOPS_KEY"
    rights = "see this repository, and start and stop its CI"
    tries = 3

    def __init__(self, url: str, project: str, credentials: Credentials, workflow: str = "") -> None:
        if not credentials.token:
            raise ConfigurationError("a team's CI needs a token; put it in the password")
        self.url, self.project, self.workflow, self.credentials = url.rstrip("/"), project, workflow, credentials
        self.api = self.url

    @property
    @abstractmethod
    def home(self) -> str:
        """The repository's, or job's, place below the API's root."""

    @abstractmethod
    def find(self, key: str) -> CIRun | None:
        """Return the newest run that was begun with a key; None if there is none."""

    @abstractmethod
    def start(self, ref: str | None, inputs: Mapping[str, str]) -> CIRun | None:
        """Ask for a run; None if the answer does not say which one that is. :param inputs: with the key among them."""

    @abstractmethod
    def look(self, run_id: str, key: str) -> CIRun:
        """Return how far a run is. :param key: for where its id changes, or is forgotten."""

    @abstractmethod
    def failure(self, run: CIRun) -> str:
        """Return which job and step of a red run failed, and where that is seen; empty if the system doesn't say."""

    @abstractmethod
    def file(self, run: CIRun, name: str) -> bytes | None:
        """Return a file that a run has left with its image, up to :data:`LARGEST`; None if there is none."""

    @abstractmethod
    def stop(self, run: CIRun) -> None:
        """Ask for a run to end; one that has ended stays as it is."""

    def obtain(self, key: str, ref: str | None, inputs: Mapping[str, str], reported: str | None = None) -> CIRun:
        """Return the run of a key, begun if there is none: who was killed in between begins no second one.

        :param reported: a run that was red, as is known already: another is begun in its place, as in that of a
            cancelled one.
        :raises ConfigurationError: if the system refuses, or the run does not take the key.
        :raises BackendError: if it does not answer.
        """
        before = self.find(key)
        if before and before.state is not State.CANCELLED and before.id != reported:
            return before
        doubt: BackendError | None = None
        try:
            if run := self.start(ref, {**inputs, self.key_name: key}):
                return run
        except BackendError as error:  # it may have begun all the same
            doubt = error
        until = time.monotonic() + (5 * PAUSE if doubt else SEEN_SECONDS)
        while time.monotonic() < until:
            run = self.find(key)
            if run and (before is None or run.id != before.id):
                return run
            time.sleep(PAUSE)
        raise doubt or ConfigurationError(
            f"{self.url}/{self.project} took the request, and no run is called {key}: call it after the input "
            f"{self.key_name}, as the workflow of `airflow mlops ci` does"
        )

    def image(self, run: CIRun) -> str | None:
        """Return the image that a run says it has pushed, by its digest; None if it says none."""
        text = (self.file(run, IMAGE_FILE) or b"")[:1000].decode(errors="replace").strip()
        return text if _IMAGE.fullmatch(text) else None

    def bill(self, run: CIRun) -> bytes | None:
        """Return the bill of materials of the image that a run has pushed; None if it has left none.

        :raises ConfigurationError: if what it left is no bill of CycloneDX's.
        """
        data = self.file(run, BILL_FILE)
        if data is None:
            return None
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("bomFormat") != "CycloneDX":
            raise ConfigurationError(f"{run.url} left a {BILL_FILE} that is no bill of materials of CycloneDX's")
        return data

    def probe(self) -> str:
        """Ask for the repository once, and say that it is there."""
        self.get(self.home)
        return f"{self.url} answers; {self.project} is there"

    def get(self, path: str, **query: Any) -> Any:
        """Return what is there. :raises MLOpsError: if there is nothing."""
        answer = self.ask("GET", path, params=query)
        if answer.status_code != 200:
            raise self.trouble(answer, path)
        return read_json(answer)

    def text(self, path: str) -> httpx.Response | None:
        """Return a file; None if there is none."""
        answer = self.ask("GET", path)
        if answer.next_request is not None:  # to where files are kept: another host, which gets no token
            answer = httpx.get(answer.next_request.url, timeout=SECONDS)
        if answer.status_code in {404, 410}:
            return None
        if answer.status_code != 200:
            raise self.trouble(answer, path)
        return answer

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """Yield the answers of a list that comes in pages."""
        for page in range(1, _PAGES + 1):
            answer = self.ask("GET", path, params={"per_page": "100", **query, "page": str(page)})
            if answer.status_code != 200:
                raise self.trouble(answer, path)
            yield read_json(answer)
            if "next" not in answer.links:
                return

    def post(self, path: str, **what: Any) -> httpx.Response:
        """Ask for something to be done. :raises MLOpsError: if it is refused."""
        answer = self.ask("POST", path, **what)
        if answer.status_code >= 400:
            raise self.trouble(answer, path)
        return answer
