"""The machine and the packages that a job ran with."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

_FIELD = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of some distributions; ``absent`` for one that is not installed."""
    known = {_same(name): number for name, number in all_versions().items()}
    return {name: known.get(_same(name), "absent") for name in sorted(set(names))}


def all_versions() -> dict[str, str]:
    """Return every installed distribution and its version; of several in the folders of the path, the first."""
    known: dict[str, str] = {}
    for folder in sys.path:
        with suppress(OSError):
            for name, number in _versions(folder, Path(folder).stat().st_mtime_ns):
                known.setdefault(name.lower().replace("_", "-"), number)
    return dict(sorted(known.items()))


def _same(name: str) -> str:
    """Return what all spellings of a distribution's name have in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=64)
def _versions(folder: str, _changed: int) -> tuple[tuple[str, str], ...]:
    """Return what is installed in a folder, which changes when something is, or is upgraded."""
    return tuple(_named(found) for found in distributions(path=[folder]))


def _named(found: Distribution) -> tuple[str, str]:
    """Return a distribution's name and version; by two lines of its metadata, all of which takes long to parse."""
    head = (found.read_text("METADATA") or found.read_text("PKG-INFO") or "").partition("\n\n")[0]
    fields = dict(_FIELD.findall(head))
    return (fields["Name"], fields["Version"]) if len(fields) == 2 else (found.name, found.version)


def hardware() -> dict[str, Any]:
    """Return the processor, its usable cores, the system, and the GPUs where there are any."""
    graphics = gpus()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": platform.machine(),
        "cores": cores,
        "system": platform.platform(),
        "python": platform.python_version(),
        **({"gpus": graphics} if graphics else {}),
    }


def gpus(driver: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """Return the models of the GPUs that this machine's driver offers, without loading any library for them."""
    texts = [file.read_text() for file in sorted(driver.glob("*/information"))]
    models = [line.partition(":")[2].strip() for text in texts for line in text.splitlines() if "Model" in line]
    return sorted(models)
