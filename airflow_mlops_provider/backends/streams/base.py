"""What a server of streams promises: entries in an order that never changes, each under an id of its own.

That is a Redis stream, a partition of a Kafka topic, a shard of Kinesis. A queue that forgets its order, or what it has
handed out (SQS), is none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple


class Entry(NamedTuple):
    """An entry as it came. :param at: when it arrived, by the server's clock. :param fields: names and values."""

    id: str
    at: datetime
    fields: Mapping[bytes, bytes]


@dataclass(frozen=True)
class Position:
    """How far a stream was read.

    :param since: what arrived before is not wanted.
    :param entry: the id of the last entry; None while there was none.
    :param number: how many entries the stream had ever had up to that one; None while there was none.
    """

    since: datetime
    entry: str | None = None
    number: int | None = None


@dataclass(frozen=True)
class Batch:
    """What a stream held behind a position, at one moment.

    :param entries: the first ones, in their order.
    :param before: how many entries the stream had ever had before the first of them.
    :param now: the server's clock: nothing that arrives later is of an earlier moment.
    """

    entries: Sequence[Entry]
    before: int
    now: datetime


@dataclass(frozen=True)
class Address:
    """Where a server is, as a connection says. :param options: the connection's further fields."""

    host: str
    port: int | None
    login: str | None
    password: str | None
    options: Mapping[str, Any]


class StreamServer(ABC):
    """A server of streams. Making one connects to nothing.

    :cvar packages: the distributions that it needs.
    """

    packages: ClassVar[tuple[str, ...]] = ()

    def __init__(self, address: Address) -> None:
        self.address = address

    @abstractmethod
    def read(self, stream: str, after: Position, most: int, lost_through: str | None = None) -> Batch:
        """Return what a stream holds behind a position, read at one moment.

        :param most: so many entries at most.
        :param lost_through: the id up to which entries are known to be lost.
        :raises SourceDataError: if entries behind the position are gone, or another stream has that name now. It says
            from where to where, and up to which id the loss would have to be known.
        :raises SourceError: if there is no such stream, or the server does not answer.
        """

    @abstractmethod
    def probe(self) -> str:
        """Use the server once, and return what answered. :raises MLOpsError: if it can't be used."""
