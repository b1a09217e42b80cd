"""Names of users' functions, ``package.module:function``, and where they stand in a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints


class NamesCode:
    """Marks a field whose value names code: the source of that code decides a result, too."""


Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"), NamesCode()]


def named_code(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield what names code in a value, however deep, as field and ``package.module:function``."""
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            inner = getattr(value, name)
            where = field if field and name == "code" else name
            if isinstance(inner, str) and any(isinstance(mark, NamesCode) for mark in info.metadata):
                yield where, inner
            else:
                yield from named_code(inner, where)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from named_code(inner, field)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from named_code(inner, field)
