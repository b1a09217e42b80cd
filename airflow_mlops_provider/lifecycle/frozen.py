"""The base of every value here: immutable, strict about unknown fields, the same in memory and as JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value that refuses unknown fields and round-trips through JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> dict[str, Any]:
        """Return this value as plain JSON types, fit for an XCom or a file."""
        return self.model_dump(mode="json")


def canonical(value: Any) -> bytes:
    """Return the one byte string for a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value's canonical bytes, as 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()
