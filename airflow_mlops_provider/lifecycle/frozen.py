"""The base of every value here: immutable, strict about unknown fields, the same in memory and as JSON."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from airflow_mlops_provider.exceptions import UnknownNameError


class Frozen(BaseModel):
    """An immutable value that refuses unknown fields, NaN and infinities, and round-trips through JSON."""

    # NaN inside of free JSON would else be written as null, and nobody told.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")

    def to_json(self) -> dict[str, Any]:
        """Return this value as plain JSON types, fit for an XCom or a file."""
        return self.model_dump(mode="json")

    def to_file(self) -> bytes:
        """Return this value as a file's bytes. :raises ValueError: for a number that JSON does not have."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False).encode()

    @classmethod
    def from_file(cls, data: bytes) -> Self:
        """Return the value that a file of ours holds. Fields that a newer release added are no reason to refuse it."""
        return cls.model_validate_json(data, extra="allow" if cls.model_config.get("extra") == "allow" else "ignore")


def canonical(value: Any) -> bytes:
    """Return the one byte string for a JSON value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value's canonical bytes, as 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def only_known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Make sure that all names are known. :raises UnknownNameError: listing those that are not, and those that are."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UnknownNameError(what, ", ".join(unknown), known)


def unique(what: str, names: Iterable[str]) -> None:
    """Make sure that no name comes twice. :raises ValueError: listing those that do."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"{what} twice: {', '.join(twice)}")
