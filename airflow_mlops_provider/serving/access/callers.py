"""The model server's callers: each with a name, rights, and tokens of which only hashes are kept.

They stand in a file, a line each: ``NAME RIGHTS HASH``, with rights separated by commas and ``#`` before comments. A
name may have several lines: in a rotation the old token and the new are valid together. The file is read again when it
changes; one that can't be read leaves the callers as they were.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from airflow_mlops_provider.exceptions import ConfigurationError

log = logging.getLogger(__name__)
#: Seconds after which a changed file is seen.
LOOK_SECONDS = 1.0
#: Who sends the token of the server's environment, as deployments do.
DEFAULT = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


class Right(StrEnum):
    """What a caller may do: predict; read what the server says of itself; operate it, which includes its figures."""

    PREDICT = "predict"
    READ = "read"
    OPERATE = "operate"


class Caller(NamedTuple):
    """Who calls; without a name where everybody may."""

    name: str
    rights: frozenset[Right]

    def may(self, *rights: Right) -> bool:
        """Say whether the caller has one of some rights."""
        return not self.rights.isdisjoint(rights)


ANYBODY = Caller("", frozenset(Right))


def new_token(name: str, rights: Sequence[Right]) -> tuple[str, str]:
    """Return a new token and its line for the file of callers. :raises ConfigurationError: for a name that can't be."""
    token = f"mlops_{secrets.token_urlsafe(32)}"
    line = f"{name} {','.join(rights)} {_hash(token.encode())}"
    _parse("the new token", line)
    return token, line


class Callers:
    """Knows callers by their tokens.

    :param token: one that has every right; none if empty.
    :param file: the file of further callers.
    :raises ConfigurationError: if that file can't be read, or a line is none of it; the message names it.
    """

    def __init__(self, token: str = "", file: Path | None = None) -> None:
        self._own = [(_hash(token.encode()), Caller(DEFAULT, frozenset(Right)))] if token else []
        self._file, self._looked = file, time.monotonic()
        self._state = _state(file) if file else None
        self._listed = _read(file) if file else []

    @property
    def closed(self) -> bool:
        """Whether a token is needed at all; a file of nobody closes the server, too."""
        return bool(self._own or self._file)

    def of(self, authorization: str) -> Caller | None:
        """Return who sends a header; None for nobody that is known."""
        if not self.closed:
            return ANYBODY
        self._look()
        scheme, _, token = authorization.partition(" ")
        given = _hash(token.encode("latin-1"))
        # All are compared, so that the time tells nothing of which it was.
        same = [caller for known, caller in (*self._own, *self._listed) if hmac.compare_digest(known, given)]
        return same[0] if same and scheme.lower() == "bearer" else None

    def _look(self) -> None:
        if self._file is None or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked, state = time.monotonic(), _state(self._file)
        if state == self._state:
            return
        self._state = state
        try:
            self._listed = _read(self._file)
        except ConfigurationError as error:
            log.error("the callers stay as they were: %s", error)  # noqa: TRY400  # it says where
        else:
            log.info("%s has %d tokens of %s", self._file, len(self._listed), sorted({c.name for _, c in self._listed}))


def _state(file: Path) -> tuple[int, int, int] | None:
    """Return what differs when a file was changed or, as Kubernetes does, replaced; None if it can't be seen."""
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def _hash(token: bytes) -> str:
    # Tokens are random and long, which no dictionary holds: a slow hash would only slow the calls.
    return f"sha256:{hashlib.sha256(token).hexdigest()}"


def _read(file: Path) -> list[tuple[str, Caller]]:
    try:
        return _parse(str(file), file.read_text("utf-8"))
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"the file of callers {file} can't be read: {error}") from None


def _parse(where: str, text: str) -> list[tuple[str, Caller]]:
    callers = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        rights = words[1].split(",") if len(words) == 3 else []
        fits = rights and _NAME.fullmatch(words[0]) and _HASH.fullmatch(words[2]) and {*rights} <= {*Right}
        if not fits or words[0] == DEFAULT:
            raise ConfigurationError(
                f"{where}, line {number}: give NAME RIGHTS HASH, where the name is of letters, digits and _.- and not "
                f"{DEFAULT!r}, rights are of {','.join(Right)}, and the hash is sha256: and 64 hexadecimal digits"
            )
        callers.append((words[2], Caller(words[0], frozenset(map(Right, rights)))))
    return callers
