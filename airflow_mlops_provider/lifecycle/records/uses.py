"""Which model versions were made of some data: found by a dataset's hash, or by a delivered file's name or hash."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.records.lineage import HISTORY, Item, Lineage
from airflow_mlops_provider.lifecycle.release.registry import Status

MOST_NAMED = 10
SHORT = 12
_HASH = re.compile(r"[0-9a-f]{6,64}", re.ASCII)


class Found(Frozen):
    """A dataset that was asked for, or one that was read from the ``file`` that was: its key and SHA-256."""

    item: Item
    file: str = ""
    sha256: str = ""


class Use(Frozen):
    """A model version that was made of some data, and since when it has its status.

    :param through: one shortest way from the data to the model, as what each result went into the next.
    """

    name: str
    version: int
    hash: str
    status: Status
    since: datetime
    reason: str
    through: tuple[str, ...]


def with_hash(items: Collection[Item], prefix: str) -> list[Found]:
    """Return the dataset or model whose hash begins so: several only where steps made the very same bytes.

    :raises UnknownNameError, ConfigurationError: if there is none, or if it may mean several or is no hash.
    """
    if not _HASH.fullmatch(prefix):
        raise ConfigurationError(f"{prefix!r} is no hash; give 6 to 64 hexadecimal digits of it, in small letters")
    matching = [item for item in items if item.hash.startswith(prefix)]
    if not matching:
        raise UnknownNameError("dataset", prefix, _bounded(map(_named, items)))
    if len({item.hash for item in matching}) > 1:
        raise ConfigurationError(f"{prefix!r} may mean {_either(map(_named, matching))}; give more of its digits")
    return [Found(item=item) for item in matching]


def read_from(items: Iterable[Item], what: str, sha256: str | None = None) -> list[Found]:
    """Return the datasets that were read from a delivered file.

    :param what: its key, or the end of that, or the beginning of its SHA-256; just a name where ``sha256`` is known.
    :raises UnknownNameError, ConfigurationError: if none was, or if several files may be meant.
    """
    read = [Found(item=item, file=key, sha256=digest) for item in items for key, digest in item.files.items()]
    if sha256 or _HASH.fullmatch(what):
        matching = [each for each in read if each.sha256.startswith(sha256 or what)]
        meant = {each.sha256 for each in matching}
    else:
        matching = [each for each in read if f"/{each.file}".endswith(f"/{what}")]
        meant = {each.file for each in matching}
    if not matching:
        # Whoever holds a changed file wants to see what was recorded under its name.
        name = what.rpartition("/")[2]
        near = [each for each in read if each.file.rpartition("/")[2] == name] or read
        shown = f"{what} ({sha256[:SHORT]})" if sha256 else what
        raise UnknownNameError(
            "delivered file", shown, _bounded({f"{each.file} ({each.sha256[:SHORT]})" for each in near})
        )
    if len(meant) > 1:
        raise ConfigurationError(f"{what!r} may mean {_either(meant)}; name one of them")
    return matching


def use(graph: Lineage, data: Iterable[Found]) -> Use | None:
    """Return how a version was made of any of some datasets; None if it was not."""
    meant = {each.item.id for each in data}
    kinds = {item.id: item.kind for item in graph.items}
    # Items come nearest first: the first that is hit has the shortest way.
    hit = next((item for item in graph.items if item.id in meant), None)
    if hit is None:
        return None
    last = graph.moves[-1]
    return Use(
        name=graph.version.name,
        version=graph.version.version,
        hash=graph.version.hash,
        status=last.status,
        since=last.at,
        reason=last.reason,
        through=(hit.kind, *(_step(kinds[link.target], link.role) for link in graph.way(hit.id))),
    )


def _step(kind: str, role: str) -> str:
    return f"{kind} ({role})" if " " in role or role == HISTORY else kind


def _named(item: Item) -> str:
    return f"{item.hash[:SHORT]} ({item.kind}{f' of {item.interval.start:%F}' if item.interval else ''})"


def _either(names: Iterable[str]) -> str:
    return " or ".join(sorted(_bounded(names)))


def _bounded(names: Iterable[str]) -> list[str]:
    every = sorted(names)
    more = [f"… and {len(every) - MOST_NAMED} more"] if len(every) > MOST_NAMED else []
    return [*every[:MOST_NAMED], *more]
