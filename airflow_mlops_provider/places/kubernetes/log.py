"""A pod's log on its way into the task's: each line once, and no more than the bounds allow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from math import ceil
from typing import Any

from pydantic import Field

from airflow_mlops_provider.lifecycle.frozen import Frozen

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
