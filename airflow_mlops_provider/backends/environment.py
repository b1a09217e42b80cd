"""The machine and the packages that a job ran with."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of some distributions; ``absent`` for one that is not installed."""
    known = {}
    for name in sorted(set(names)):
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            known[name] = "absent"
    return known


def all_versions() -> dict[str, str]:
    """Return every installed distribution and its version."""
    return dict(sorted((d.name.lower().replace("_", "-"), d.version) for d in distributions()))


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
