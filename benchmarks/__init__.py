"""Measurements behind what docs/operating/guarantees.md claims; ``python -m benchmarks [name …]``."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"
_TITLE = """# What was measured

Each section is one benchmark, put here by `python -m benchmarks --record <name>`, with the machine on which it ran.
"""


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


def record(name: str, result: Result) -> None:
    """Put a benchmark's table into its section of the results, in place of the one before."""
    kept = RESULTS.read_text("utf-8") if RESULTS.exists() else _TITLE
    lines = [f"| {' | '.join(row)} |" for row in (result.columns, ["---"] * len(result.columns), *result.rows)]
    parts = [f"## {result.title}", f"`python -m benchmarks {name}`, {_machine()}.", "\n".join(lines), result.note]
    section = "\n\n".join(filter(None, parts)) + "\n"
    old = re.compile(rf"^## [^\n]+\n\n`python -m benchmarks {name}`.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    rest = old.sub("", kept).rstrip("\n")
    RESULTS.write_text(f"{rest}\n\n{section}", "utf-8")


def _machine() -> str:
    models = re.findall(r"(?m)^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    busy = f"load {os.getloadavg()[2]:.1f} over the quarter of an hour before its end"
    python = f"Python {platform.python_version()}"
    return f"{datetime.now(UTC):%Y-%m-%d}, {len(models)} cores of {models[0]}, {memory:.0f} GiB, {python}, {busy}"
