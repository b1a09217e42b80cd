"""What worker and triggerer do alike when they wait for a pod: they look, pass its log on, decide, and pause."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any, Literal

from pydantic import Field

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.places.kubernetes.decisions.ends import Timeouts
from airflow_mlops_provider.places.kubernetes.decisions.facts import UNSEEN, PodFacts, observe
from airflow_mlops_provider.places.kubernetes.decisions.table import ManifestState, PodVerdict, conclude

Cause = Literal["timeout", "killed"]
#: Pods to leave in the cluster after their end, for a look at them.
Keep = Literal["none", "failed", "all"]
LEFT_OUT = "… lines left out here: the pod prints more than one look takes"
CUT = "… the pod's log is cut here, after {total} bytes"
_LINE = re.compile(r"(?P<second>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<part>\d+))?(?P<zone>\S+) ?(?P<text>.*)")


class LogBounds(Frozen):
    """How much of a pod's log goes into the task's log. All of it is kept as an artifact.

    :param lines: lines at most per look at a running pod, the newest; where some are left out, a line says so.
    :param total: bytes at most for one pod.
    """

    lines: int = Field(default=1000, gt=0)
    total: int = Field(default=1024 * 1024, gt=0)


class LogCursor:
    """How far a pod's log was passed on. Lines come with the API's timestamps and go without them.

    :param bounds: how much to pass on.
    :param state: what :attr:`state` was before, to go on from there.
    """

    def __init__(self, bounds: LogBounds, state: dict[str, Any] | None = None) -> None:
        self.bounds = bounds
        self.state: dict[str, Any] = {"last": "", "same": 0, "total": 0, **(state or {})}

    @property
    def full(self) -> bool:
        """Whether nothing more is wanted."""
        return bool(self.state["total"] >= self.bounds.total)

    def query(self) -> dict[str, Any]:
        """Return what to ask the API for: the newest lines since the last one, and that one again."""
        query = {"timestamps": True, "tail_lines": self.bounds.lines, "limit_bytes": self.bounds.total}
        if not self.state["last"]:
            return query
        age = datetime.now(UTC) - datetime.fromisoformat(self.state["last"])
        return {**query, "since_seconds": max(1, ceil(age.total_seconds()) + 1)}

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the lines that are new.

        :param data: what the API answered to :meth:`query`, or a whole log with timestamps.
        """
        matches = map(_LINE.fullmatch, data.decode("utf-8", "replace").splitlines())
        lines = [(_moment(line), line["text"]) for line in matches if line]  # one that a limit has cut has no time
        before, seen = self.state["last"], self.state["same"]
        if before and lines and lines[0][0] > before:
            yield LEFT_OUT
        for at, text in lines:
            if at < before:
                continue
            if at == before and seen > 0:
                seen -= 1
                continue
            if self.full:
                return
            yield self._pass(at, text)

    def _pass(self, at: str, text: str) -> str:
        same = self.state["same"] + 1 if at == self.state["last"] else 1
        self.state = {"last": at, "same": same, "total": self.state["total"] + len(text) + 1}
        return CUT.format(total=self.bounds.total) if self.full else text


def _moment(line: re.Match[str]) -> str:
    """Return a line's time so that later ones sort later: some nodes leave trailing zeros out."""
    return f"{line['second']}.{line['part'] or '':0<9}{line['zone']}"


class Watch(Frozen):
    """How a pod is waited for.

    :param deadline: when the task's time is over, in seconds since the epoch.
    """

    timeouts: Timeouts = Timeouts()
    poll_seconds: float = 10.0
    deadline: float | None = None
    log: LogBounds = LogBounds()
    keep: Keep = "none"


class PodObserver:
    """What one process knows of a pod from its looks so far.

    :param event: what another process saw before; see :meth:`to_event`.
    :ivar facts: what the last look has shown.
    :ivar stopped: whether the task was stopped.
    """

    def __init__(self, watch: Watch, event: Mapping[str, Any] | None = None) -> None:
        event = event or {}
        self.watch, self.stopped = watch, False
        self.log = LogCursor(watch.log, event.get("passed"))
        self.facts: PodFacts = UNSEEN
        self._waited = 0.0
        self._cause: Cause | None = event.get("cause")
        self._answered = time.monotonic() - event.get("unseen", 0.0)

    @property
    def cause(self) -> Cause | None:
        """Why the pod must not go on, if so."""
        over = self.watch.deadline is not None and time.time() >= self.watch.deadline
        return "killed" if self.stopped else self._cause or ("timeout" if over else None)

    def see(self, pod: dict[str, Any] | None, events: Sequence[dict[str, Any]]) -> None:
        """Take in what the API answered. :param pod: None if there is no such pod (any more)."""
        self._answered = time.monotonic()
        self.facts = observe(pod, events)
        self._waited = self.facts.waited(datetime.now(UTC))

    def miss(self) -> None:
        self.facts, self._waited = UNSEEN, time.monotonic() - self._answered

    def verdict(self, manifest: ManifestState = "not_expected") -> PodVerdict:
        """Return what to do about the pod; by default as far as the pod itself says."""
        return conclude(self.facts, manifest, self.cause, waited=self._waited, timeouts=self.watch.timeouts)

    def pause(self, longest: float | None = None) -> float:
        """Return the seconds until the next look: at most ``longest``, and no longer than the task has time."""
        pause = min(self.watch.poll_seconds, longest or self.watch.poll_seconds)
        return pause if self.watch.deadline is None else max(0.01, min(pause, self.watch.deadline - time.time()))

    def to_event(self) -> dict[str, Any]:
        """Return, as plain JSON, what the next process needs to go on from here."""
        unseen = 0.0 if self.facts.seen else self._waited
        return {"cause": self.cause, "unseen": unseen, "passed": self.log.state}


def wants_events(pod: dict[str, Any] | None) -> bool:
    """Say whether a pod's events may explain what it is waiting for, or where it is."""
    return pod is None or pod.get("status", {}).get("phase") not in {"Running", "Succeeded"}
