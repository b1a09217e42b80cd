"""Redis Streams, of Redis 7 and later: only these say how many entries a stream has ever had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from airflow_mlops_provider.backends.streams.base import Batch, Entry, Position, StreamServer
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, SourceError

PORT = 6379
#: Seconds that an answer is waited for.
TIMEOUT = 20
#: So many entries are counted at once.
CHUNK = 10_000
TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
Id = tuple[int, int]


class State(NamedTuple):
    """What Redis says of a stream.

    :param first: the first entry that it holds; None for none. :param last: the last one that it ever had.
    :param deleted: the last one of those that were deleted one by one, which trimmed ones are not.
    :param added: how many it ever had. :param removed: how many of these it no longer holds.
    """

    first: Id | None
    last: Id
    deleted: Id
    added: int
    removed: int


class Redis(StreamServer):
    """A Redis server. The connection's further fields: ``db``, ``ssl``, and the files ``ssl_ca_certs`` and the like."""

    packages = ("redis",)

    def read(self, stream: str, after: Position, most: int, lost_through: str | None = None) -> Batch:
        begin = (_milliseconds(after.since), 0)
        state, entries, now = self._look(stream, after, most)
        number = after.number or 0
        if after.entry is None and entries and state.first and state.first < begin:
            older, known = self._count(stream, begin), state
            state, entries, now = self._look(stream, after, most)
            if state.removed != known.removed:
                raise SourceError(f"{self._name(stream)} gave up entries while they were counted; a retry helps")
            number = state.removed + older
        last = _parsed(after.entry) if after.entry else (begin[0], -1)
        through, why = _gap(state, last, number, is_landed=after.entry is not None)
        if why and not (lost_through and _parsed(lost_through) >= through):
            raise SourceDataError(
                f"{self._name(stream)} {why}; to go on with what there is, say that this is known: "
                f"lost_through={_text(through)!r}"
            )
        if state.first is None or state.first > last:
            number = state.removed
        # To the end of the stream all are counted, whatever was deleted in between.
        return Batch(entries, state.added - len(entries) if len(entries) < most else number, now)

    def probe(self) -> str:
        with self._answering():
            version = self.client.info("server")["redis_version"]
        if int(version.partition(".")[0]) < 7:
            raise ConfigurationError(f"Redis at {self._where} is of version {version}; streams need 7 or later")
        return f"Redis {version} answers at {self._where}"

    @cached_property
    def client(self) -> Any:
        """A client, which connects when it is used."""
        from redis import Redis as Client
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        options = dict(self.address.options)
        database, tls = options.pop("db", 0), str(options.pop("ssl", "")).lower() in ("true", "1")
        unknown = sorted(set(options) - set(TLS))
        if unknown or not str(database).isdecimal():
            raise ConfigurationError(
                f"Redis at {self._where} does not take {', '.join(unknown) or f'the database {database!r}'}; "
                f"give db (a number), ssl, {', '.join(TLS)}"
            )
        return Client(
            self.address.host,
            self.address.port or PORT,
            int(database),
            username=self.address.login,
            password=self.address.password,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),  # the next look is one, and whoever waits is told why
            ssl=tls,
            **(options if tls else {}),
        )

    def _look(self, stream: str, after: Position, most: int) -> tuple[State, list[Entry], datetime]:
        """Return state, entries and clock, all of the same moment."""
        behind = f"({after.entry}" if after.entry else f"{_milliseconds(after.since)}-0"
        with self._answering():
            together = self.client.pipeline(transaction=True)
            together.exists(stream)
            together.xinfo_stream(stream)
            together.xrange(stream, min=behind, count=most)
            together.time()
            there, info, entries, (seconds, micros) = together.execute(raise_on_error=False)
        if isinstance(there, Exception):
            raise SourceError(f"{self._name(stream)} can't be read: {there}")
        if not there:
            gone = f"is gone, and what came after {after.entry} with it" if after.entry else "is not there yet"
            raise SourceError(f"{self._name(stream)} {gone}")
        for answer in (info, entries):
            if isinstance(answer, Exception):
                raise ConfigurationError(f"{self._name(stream)} can't be read: {answer}")
        now = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=micros)
        return self._state(info), [_entry(name.decode(), fields) for name, fields in entries], now

    def _state(self, info: dict[str, Any]) -> State:
        if "entries-added" not in info:
            raise ConfigurationError(f"Redis at {self._where} is too old to say what it has given up; it takes 7")
        added, first = int(info["entries-added"]), info["first-entry"]
        return State(
            first=_parsed(first[0]) if first else None,
            last=_parsed(info["last-generated-id"]),
            deleted=_parsed(info["max-deleted-entry-id"]),
            added=added,
            removed=added - int(info["length"]),
        )

    def _count(self, stream: str, end: Id) -> int:
        """Return how many entries there are before one, a part of them at a time."""
        count, low = 0, "-"
        with self._answering():
            while chunk := self.client.xrange(stream, min=low, max=f"({_text(end)}", count=CHUNK):
                count, low = count + len(chunk), f"({chunk[-1][0].decode()}"
        return count

    @contextmanager
    def _answering(self) -> Iterator[None]:
        client = self.client  # that it can't be made is no matter of the server's
        from redis.exceptions import RedisError

        try:
            yield
        except RedisError as error:
            raise SourceError(
                f"Redis at {self._where} did not answer: {type(error).__name__}: {str(error)[:200]}"
            ) from None
        finally:
            client.close()

    @property
    def _where(self) -> str:
        return f"{self.address.host}:{self.address.port or PORT}"

    def _name(self, stream: str) -> str:
        return f"stream {stream!r} of Redis at {self._where}"


STREAMS = Redis


def _gap(state: State, last: Id, number: int, *, is_landed: bool) -> tuple[Id, str | None]:
    """Return up to which entry some are missing behind the last one that was read, and how that is known.

    :param number: how many the stream had up to that last one. Trimming removes the first ones, so that of more
        removed ones than that some were never read, once none of those that were is left.
    """
    begin, end = _text(last), state.first or state.last
    if is_landed and state.last < last:
        return last, f"ends with {_text(state.last)}, before {begin}, which was landed: another stream has its name"
    if state.deleted > last:
        return state.deleted, f"has lost entries behind {begin}: {_text(state.deleted)} was deleted before it was read"
    if state.last < last or (state.first and state.first <= last) or state.removed == number:
        return last, None
    if state.removed < number:
        return end, f"was made anew: it had {number} entries up to {begin}, which was landed, and lacks {state.removed}"
    since = f"between {begin} and {_text(end)}" if is_landed else f"before {_text(end)}, maybe of {begin} or later,"
    return end, f"was trimmed: {state.removed - number} entries {since} are gone, and were never read"


def _entry(name: str, fields: dict[bytes, bytes]) -> Entry:
    return Entry(name, _1970 + timedelta(milliseconds=_parsed(name)[0]), fields)


def _milliseconds(moment: datetime) -> int:
    return -((_1970 - moment) // timedelta(milliseconds=1))


def _parsed(name: str | bytes) -> Id:
    text = name.decode() if isinstance(name, bytes) else name
    milliseconds, _, sequence = text.partition("-")
    if not (milliseconds.isdecimal() and (sequence or "0").isdecimal()):
        raise ConfigurationError(f"{text!r} is no id of an entry; give one such as 1700000000000-0")
    return int(milliseconds), int(sequence or 0)


def _text(entry: Id) -> str:
    return f"{entry[0]}-{max(entry[1], 0)}"
