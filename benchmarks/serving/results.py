"""What was measured, as a section of ``RESULTS.md``, with the machine on which it was."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from benchmarks import Result

FILE = Path(__file__).parent.parent / "RESULTS.md"
_PACKAGES = ("uvicorn", "uvloop", "httptools", "lightgbm", "numpy", "msgspec", "feast", "mlflow-skinny")


def write_section(title: str, result: Result) -> None:
    """Write a result as a section, in place of the one that has its title."""
    lines = [f"## {title}", "", result.title + ".", "", _row(result.columns), _row(["---"] * len(result.columns))]
    lines += [*map(_row, result.rows), "", f"{result.note}.", "", f"Machine: {machine()}.", ""]
    before = FILE.read_text() if FILE.exists() else "# Results\n\nEach section is written by its benchmark.\n"
    others = re.sub(rf"\n## {re.escape(title)}\n.*?(?=\n## |\Z)", "", before, flags=re.DOTALL).rstrip("\n")
    FILE.write_text(f"{others}\n\n" + "\n".join(lines))


def machine() -> str:
    """Return what the machine is, and which versions it has."""
    known = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"model name\s*: (.*)", known)
    versions = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {name[1] if name else platform.processor()}, load {load:.1f} at the end, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {versions}"
    )


def _row(cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"  # type: ignore[call-overload]
