"""Measurements behind what docs/operating/guarantees.md claims; ``python -m benchmarks [name …]``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One benchmark's table.

    :param violations: one line for each limit that is exceeded.
    :param note: how it was measured.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    violations: tuple[str, ...] = ()
    note: str = ""
