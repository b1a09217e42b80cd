"""A stream's entries as files below the landing root, each entry in exactly one.

How far a stream is landed is known from what lies there, and from nothing else. Each file has the next number in its
interval's folder, begins behind the last entry of the one before it, and can be created once: of two consumers one
gets the number, and the other goes on behind what that one has landed. An interval's marker says up to which entry it
goes, so that whoever comes next need not look further back. Nothing is ever half there, and nothing is written again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Protocol

from airflow_mlops_provider.backends.streams.base import Entry, Position, StreamServer
from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError, IntegrityError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.storage.artifacts import ArtifactStore, checked

#: The columns that a line has beside the entry's own: its id, and how many entries the stream ever had up to it.
ID, NUMBER = "_entry_id", "_entry_number"
#: So often in a row others may land first.
TRIES = 20
_POSITION = re.compile(rf'{{"{ID}": (null|"[^"\\]*"), "{NUMBER}": (null|\d+)')
_FILE = re.compile(r"\d{8}\.jsonl", re.ASCII)


class Calendar(Protocol):
    """How a schedule cuts time into intervals."""

    def containing(self, moment: datetime) -> Interval:
        """Return the interval in which a moment lies."""

    def before(self, interval: Interval) -> Interval:
        """Return the interval that ends where this one begins."""

    def behind(self, interval: Interval) -> Interval:
        """Return the interval that begins where this one ends."""


@dataclass(frozen=True)
class Plan:
    """Which stream is landed, and where.

    :param path: the folder of an interval, which its placeholders name: ``orders/{start:%Y-%m-%d}/``.
    :param marker: the file in it that is written once no further entry can be of that interval.
    :param since: a moment in the first interval that is landed. Entries that arrived before that interval are not.
    :param json_field: the field whose text is the record, as a JSON object; None for a record of all fields as text.
    :param most: so many entries make a file at most.
    :param lost_through: the id up to which entries are known to be lost.
    """

    stream: str
    path: str
    marker: str
    since: datetime
    json_field: str | None = None
    most: int = 10_000
    lost_through: str | None = None

    def folder(self, interval: Interval) -> str:
        """Return the folder of an interval."""
        return checked(self.path.format(start=interval.start, end=interval.end).rstrip("/"))

    def check(self, interval: Interval, following: Interval) -> None:
        """:raises ConfigurationError: if intervals have no folders of their own, or the marker would count as data."""
        if self.folder(interval) == self.folder(following) or not self.path.endswith("/"):
            raise ConfigurationError(
                f"path {self.path!r} is no folder for each interval; give one such as orders/{{start:%Y-%m-%d}}/"
            )
        if not re.fullmatch(r"[_.][\w.-]*\w", self.marker, re.ASCII):
            raise ConfigurationError(f"marker {self.marker!r} must begin with _ or a dot, such as _COMPLETE")
        if self.most < 1:
            raise ConfigurationError(f"a file of {self.most} entries holds none; give a number from 1 on")


@dataclass(frozen=True)
class Place:
    """Where the next entry goes: the first interval without a marker, the number of its next file."""

    interval: Interval
    file: int
    behind: Position


@dataclass(frozen=True)
class Step:
    """What was landed: a file with so many entries, or, with none, an interval's marker. :param more: is there more."""

    key: str
    entries: int
    behind: Position
    more: bool


class StreamLanding:
    """Lands one stream. Two at once, a kill at any moment and a start anew lose no entry, and double none."""

    def __init__(self, server: StreamServer, store: ArtifactStore, calendar: Calendar, plan: Plan) -> None:
        self.server, self.store, self.calendar, self.plan = server, store, calendar, plan
        self.first = calendar.containing(plan.since)
        plan.check(self.first, calendar.behind(self.first))
        self.place: Place | None = None

    def step(self) -> Step | None:
        """Land what fills a file at most, or mark an interval complete; return None if there is neither to do.

        :raises SourceDataError: if entries are lost. :raises SourceError: if the server does not answer.
        :raises ConflictError: if others were first again and again.
        """
        for _ in range(TRIES):
            try:
                place, self.place = self.place or self._look(), None
                step, self.place = self._step(place)
            except ConflictError:
                continue
            return step
        raise ConflictError(f"others landed stream {self.plan.stream!r} first {TRIES} times in a row; retry later")

    def _step(self, place: Place) -> tuple[Step | None, Place]:
        batch = self.server.read(self.plan.stream, place.behind, self.plan.most, self.plan.lost_through)
        # Before the interval is what came with an id of its own, from a clock that lags: it is not too late for here.
        folder, ends = self.plan.folder(place.interval), place.interval.end
        entries = [*takewhile(lambda entry: entry.at < ends, batch.entries)]
        if entries and batch.now >= ends and self._is_marked(place.interval):
            raise ConflictError(f"{folder} was completed meanwhile")
        if entries:
            behind = replace(place.behind, entry=entries[-1].id, number=batch.before + len(entries))
            lines = (line(entry, batch.before + n, self.plan.json_field) for n, entry in enumerate(entries, 1))
            key = _key(folder, place.file)
            self.store.write_new(key, "".join(lines).encode())
            more = len(batch.entries) >= self.plan.most or len(entries) < len(batch.entries) or batch.now >= ends
            return Step(key, len(entries), behind, more), Place(place.interval, place.file + 1, behind)
        if not batch.entries and batch.now < ends:
            return None, place
        key = f"{folder}/{self.plan.marker}"
        self.store.write_new(key, f"{_head(place.behind.entry, place.behind.number)}}}\n".encode())
        if len(self._files(place.interval)) > place.file:
            raise ConflictError(f"{folder} got a file while it was completed")
        return Step(key, 0, place.behind, True), Place(self.calendar.behind(place.interval), 0, place.behind)

    def _look(self) -> Place:
        """Return where the next entry goes, by what lies there."""
        interval = max(self.first, self.calendar.containing(datetime.now(UTC)), key=lambda other: other.start)
        while interval.start > self.first.start and not self._is_marked(interval):
            interval = self.calendar.before(interval)
        behind = Position(since=self.first.start)
        while self._is_marked(interval):
            # Its files come first: who marked it may have looked before the last of them was there.
            behind = self._said([f"{self.plan.folder(interval)}/{self.plan.marker}", *self._files(interval)][-1])
            interval = self.calendar.behind(interval)
        files = self._files(interval)
        return Place(interval, len(files), self._said(files[-1]) if files else behind)

    def _files(self, interval: Interval) -> list[str]:
        folder = self.plan.folder(interval)
        files = [key for key in self.store.list(folder) if _FILE.fullmatch(key.removeprefix(f"{folder}/"))]
        for number, key in enumerate(files):
            if key != _key(folder, number):
                raise IntegrityError(f"{self.store.uri}/{_key(folder, number)} is missing, and {key} is there")
        return files

    def _is_marked(self, interval: Interval) -> bool:
        return self.store.exists(f"{self.plan.folder(interval)}/{self.plan.marker}")

    def _said(self, key: str) -> Position:
        """Return up to where a file, or a marker, goes: its last line says so."""
        text = self.store.read(key).decode(errors="replace")
        said = _POSITION.match(text.rstrip("\n").rpartition("\n")[2])
        if not said:
            raise IntegrityError(f"{self.store.uri}/{key} does not say up to which entry it goes: was it changed?")
        return Position(self.first.start, *map(json.loads, said.groups()))


def line(entry: Entry, number: int, json_field: str | None) -> str:
    """Return an entry as a line of JSON. What can't be one is no JSON at all: whoever reads it refuses it by name."""
    try:
        record = _of_text(entry.fields) if json_field is None else _of_json(entry.fields[json_field.encode()])
    except (KeyError, ValueError):
        record = f"!{dict(entry.fields)!r}"
    return f"{_head(entry.id, number)}{record and ', '}{record}}}\n"


def _head(entry: str | None, number: int | None) -> str:
    return f'{{"{ID}": {json.dumps(entry)}, "{NUMBER}": {json.dumps(number)}'


def _of_text(fields: Mapping[bytes, bytes]) -> str:
    return json.dumps({name.decode(): value.decode() for name, value in fields.items()})[1:-1]


def _of_json(value: bytes) -> str:
    """Return what is between an object's braces, as it was written: no number is read and written again."""
    text = value.decode().strip()
    if not isinstance(json.loads(text, parse_constant=_refuse), dict):
        raise ValueError(text)  # noqa: TRY004  # as for what is no JSON at all
    return " ".join(text[1:-1].split("\n")).replace("\r", " ").strip()


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _key(folder: str, number: int) -> str:
    return f"{folder}/{number:08d}.jsonl"
