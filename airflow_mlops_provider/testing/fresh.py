"""Code in an interpreter of its own, which has loaded nothing yet and imports from the same places."""

from __future__ import annotations

import os
import subprocess
import sys


def output(code: str, *arguments: str, stdin: str = "") -> str:
    """Return what some code prints. :raises AssertionError: if it fails, with the end of what it says."""
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def loaded_by_finding(point: str, name: str, *libraries: str) -> list[str]:
    """Return which of some libraries are loaded by merely looking a part up, as the parsing of a DAG file does."""
    code = (
        "import sys\nfrom airflow_mlops_provider import extensions\n"
        "getattr(extensions, sys.argv[1]).find(sys.argv[2])\n"
        "print(*[name for name in sys.argv[3:] if name in sys.modules])"
    )
    return output(code, point, name, *libraries).split()
