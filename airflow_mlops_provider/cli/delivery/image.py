"""Builds the image, by whichever program for it works here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigurationError

BUILDERS = ("podman", "buildah", "docker")
DOCKERFILES = ("Dockerfile", "docker/Dockerfile")


class SkippedError(Exception):
    """A step can't be run here; the message says why."""


def build(given: Path | None) -> str:
    """Build the image of this folder, and say of what and by whom. :raises ConfigurationError: if that fails.

    :raises SkippedError: if there is no Dockerfile, or nothing here that builds one.
    """
    file = given or next((Path(name) for name in DOCKERFILES if Path(name).is_file()), None)
    if file is None:
        raise SkippedError(f"no {' or '.join(DOCKERFILES)} here; name one with --dockerfile")
    if not file.is_file():
        raise ConfigurationError(f"there is no {file}")
    builder = next(filter(_works, BUILDERS), None)
    if builder is None:
        raise SkippedError(f"neither {', '.join(BUILDERS[:-1])} nor {BUILDERS[-1]} works here")
    done = subprocess.run([builder, "build", "-f", str(file), "."], capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-500:]
        raise ConfigurationError(f"{file} does not build: {said}")
    return f"{file} builds by {builder}"


def _works(builder: str) -> bool:
    # A client without its daemon is on many machines.
    return (
        bool(shutil.which(builder))
        and not subprocess.run([builder, "info"], capture_output=True, check=False).returncode
    )
