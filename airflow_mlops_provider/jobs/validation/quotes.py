"""The values that pages of expectations quote, because they are not as expected: masked where they name an entity."""

from __future__ import annotations

import json
import re
from collections.abc import Set as AbstractSet
from typing import Any

from airflow_mlops_provider.lifecycle.records.erasure import value_text
from airflow_mlops_provider.storage.artifacts import MANIFEST

MASK = "(forgotten)"
_CODE, _SUCH_AS = re.compile(r"(?<=<code>).*?(?=</code>)"), re.compile(r"(?<=\(e\.g\. )[^)]*(?=\))")
_LONGEST = 60  # pages cut longer ones


def masked(file: str, data: bytes, values: AbstractSet[str]) -> bytes:
    """Return a page, record or details file as it was, with some values masked where they are quoted."""
    names = {value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…" for value in values}
    if file.endswith(".html"):
        text = _CODE.sub(lambda quoted: MASK if quoted[0] in names else quoted[0], data.decode())
        return _SUCH_AS.sub(lambda quoted: _parts(quoted[0], names), text).encode()
    read = json.loads(data)
    # A record names products, columns and values that are declared: only what it quotes is masked there.
    left = _plain(read, names, frozenset() if file.endswith(MANIFEST) else values)
    return data if left == read else json.dumps(left, indent=1, ensure_ascii=False).encode()


def _plain(value: Any, names: AbstractSet[str], values: AbstractSet[str]) -> Any:
    """Mask quotations in texts, and values that are alone in a list or called ``value``."""
    if isinstance(value, dict):
        return {
            name: _masked(part, values) if name == "value" else _plain(part, names, values)
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [_plain(_masked(part, values), names, values) for part in value]
    return _SUCH_AS.sub(lambda quoted: _parts(quoted[0], names), value) if isinstance(value, str) else value


def _masked(value: Any, values: AbstractSet[str]) -> Any:
    return MASK if not isinstance(value, dict | list) and value_text(value) in values else value


def _parts(quoted: str, names: AbstractSet[str]) -> str:
    return " | ".join(MASK if part in names else part for part in quoted.split(" | "))
