"""Prints the bill of materials of the image that it runs in: ``python -m airflow_mlops_provider.runtime.installed``."""

from __future__ import annotations

import json
import platform
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from airflow_mlops_provider.lifecycle.description.installed import bill_of_image, debian_packages

#: dpkg's own list of what is installed.
STATUS = Path("/var/lib/dpkg/status")


def installed(status: Path = STATUS) -> dict[str, Any]:
    """Return the bill of materials of this interpreter's distributions, and of what dpkg lists, if there is a list."""
    python = {found.name: found.version for found in metadata.distributions()}
    listed, system = "", {}
    with suppress(OSError):
        listed = status.read_text("utf-8", "replace")
    with suppress(OSError):
        system = platform.freedesktop_os_release()
    return bill_of_image(python, debian_packages(listed), system)


if __name__ == "__main__":
    json.dump(installed(), sys.stdout, indent=1)
