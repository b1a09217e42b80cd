"""How MLflow's tags keep what the ledger has: byte for byte, whatever the database's alphabet."""

from __future__ import annotations

import base64
import zlib

from airflow_mlops_provider.backends.tracking.mlflow.mirror import LONGEST, numbered, pack, unpack


def test_bytes_come_back_as_they_were() -> None:
    """Any bytes, line ends and letters that not every database keeps, as plain ASCII."""
    for data in (b"", b'{"reason": "\r\n\xc3\xbc \xf0\x9f\x9a\x80 "}\n', bytes(range(256)) * 99):
        assert pack(data).isascii()
        assert unpack(pack(data)) == data


def test_what_is_no_copy_is_none() -> None:
    """Text that somebody else wrote, cut off, or would fill the memory, is no entry and no error."""
    assert [unpack(text) for text in ("", "what?", pack(b"x" * 99)[:12] + "!", "ü")] == [b""] * 4
    bomb = base64.b64encode(zlib.compress(b"0" * (LONGEST * 3))).decode()
    assert len(unpack(bomb)) == LONGEST


def test_entries_are_named_shortly() -> None:
    """Neighbours are a range, in whatever order they come."""
    assert numbered([7, 0, 2, 1]) == "entries 0-2, 7"
    assert numbered([4, 5]) == "entries 4-5"
