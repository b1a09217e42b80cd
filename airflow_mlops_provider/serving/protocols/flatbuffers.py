"""How many bytes an Arrow message's buffers have once they are not compressed any more: Arrow itself never asks.

Of FlatBuffers just what that needs (Arrow's ``Message.fbs``): Arrow has verified a message before it gives it away.
"""

from __future__ import annotations

import struct
from typing import Any

_HEADER, _DATA, _BUFFERS, _COMPRESSION = 2, 1, 2, 3
_LENGTH = 8  # of the whole number before each compressed buffer


def decoded_bytes(message: Any) -> int:
    """Return the bytes that a message's body has, decoded. :param message: a ``pyarrow.ipc.Message``."""
    metadata, body = memoryview(message.metadata), message.body
    if message.type == "schema" or body is None:
        return len(metadata)
    batch = _field(metadata, _follow(metadata, 0), _HEADER)
    if message.type == "dictionary":
        batch = batch and _field(metadata, batch, _DATA)
    if not batch or not _field(metadata, batch, _COMPRESSION):
        return len(body)
    vector = _field(metadata, batch, _BUFFERS)
    (count,) = struct.unpack_from("<I", metadata, vector) if vector else (0,)
    data, total = memoryview(body), 0
    for number in range(count):
        at, length = struct.unpack_from("<qq", metadata, vector + 4 + 16 * number)
        if length < _LENGTH or not 0 <= at <= len(data) - length:
            total += max(0, length)
            continue
        (decoded,) = struct.unpack_from("<q", data, at)
        total += length if decoded < 0 else decoded  # -1: this one is not compressed
    return total


def _follow(data: memoryview, at: int) -> int:
    (offset,) = struct.unpack_from("<I", data, at)
    return int(at + offset)


def _field(data: memoryview, table: int, number: int) -> int:
    """Return where a table's field, itself a table or a vector, lies; 0 if the table has none."""
    (back,) = struct.unpack_from("<i", data, table)
    (size,) = struct.unpack_from("<H", data, table - back)
    place = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", data, table - back + place) if place < size else (0,)
    return _follow(data, table + offset) if offset else 0
