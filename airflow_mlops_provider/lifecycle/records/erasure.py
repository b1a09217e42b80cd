"""Requests to forget entities: whose rows are to be taken out, known by digests alone, and what was found of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StringConstraints

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import Frozen, digest
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.source import Column

#: What a job read before a request may be written after it: not before this has passed is a request settled.
SETTLES = timedelta(days=1)
_Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Names(Frozen):
    """The digests of entities that some columns name together; columns in the order of the alphabet."""

    columns: tuple[Column, ...] = Field(min_length=1)
    digests: tuple[_Digest, ...] = Field(min_length=1)


class Search(Frozen):
    """One search for the rows of a request.

    :param rows: how many were taken out, by where they lay.
    """

    began: AwareDatetime
    rows: dict[str, int] = {}


class Erasure(Frozen):
    """A request to forget entities: their rows up to the moment of asking.

    What a source delivers of a later interval is taken: whoever comes back is a new one.
    """

    at: AwareDatetime
    by: str
    reason: str = ""
    names: tuple[Names, ...] = Field(min_length=1)
    searches: tuple[Search, ...] = ()

    @property
    def key(self) -> str:
        """The name of the request: the same for the same entities, however often they are named."""
        return digest([names.to_json() for names in self.names])[:16]

    @property
    def settled(self) -> bool:
        """Whether a search that began long enough after it took nothing out any more."""
        return any(not search.rows and search.began >= self.at + SETTLES for search in self.searches)

    def is_due(self, now: datetime) -> bool:
        """Say whether it is to be searched for: never done, not to its end, or a last time once it can be settled."""
        ended = bool(self.searches) and not self.searches[-1].rows and self.searches[-1].began >= self.at
        return not self.settled and (not ended or now >= self.at + SETTLES)

    @property
    def columns(self) -> set[str]:
        """All the columns by which its entities are known."""
        return {column for names in self.names for column in names.columns}

    def is_of(self, interval: Interval | None) -> bool:
        """Say whether the data of an interval may hold rows that are to be forgotten."""
        return interval is None or interval.start < self.at


class ErasedRows(Frozen):
    """A file out of which rows were taken after its hash was recorded.

    :param was: its SHA-256 as recorded; ``now``: those that it has had since.
    :param rows: how many were taken out, by request.
    """

    was: str
    now: tuple[str, ...]
    rows: dict[str, int]


def parse_entity(text: str) -> dict[str, str]:
    """Return the values by column of ``customer=4711``, ``order=7,line=2``, or a JSON object for values with commas.

    :raises ConfigurationError: for anything else.
    """
    if text.startswith("{"):
        try:
            read = json.loads(text)
        except ValueError:
            read = None
        entity = {str(name): value_text(value) or "" for name, value in read.items()} if isinstance(read, dict) else {}
    else:
        parts = [part.partition("=") for part in text.split(",")]
        entity = {name.strip(): value for name, sign, value in parts if sign}
        entity = entity if len(entity) == len(parts) else {}
    if not entity or not all(name and value for name, value in entity.items()):
        raise ConfigurationError(
            f"{text[:40]!r} names no entity; give column=value, or column=value,column=value where it takes several"
        )
    return entity


def value_text(value: Any) -> str | None:
    """Return the one text of a value, whichever type a table keeps it in; None for a missing one."""
    if value is None or value != value:  # noqa: PLR0124  # NaN
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return str(value)


def entity_digest(salt: bytes, entity: Mapping[str, Any]) -> str | None:
    """Return what is kept of an entity: a keyed BLAKE2b hash of its values; None where one is missing."""
    texts = [value_text(entity[column]) for column in sorted(entity)]
    if None in texts:
        return None
    return blake2b(json.dumps(texts, ensure_ascii=False).encode(errors="replace"), key=salt, digest_size=32).hexdigest()
