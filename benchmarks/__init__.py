"""Measurements behind what the README claims; ``python -m benchmarks [name …]``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One benchmark's table.

    :param passed_limits: one line for each limit that was passed; none at all means all is well.
    :param note: how it was measured.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    passed_limits: tuple[str, ...] = ()
    note: str = ""
