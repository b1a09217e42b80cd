"""Print what an image installs, one requirement a line, as pip reads it. Run beside ``pyproject.toml``.

``training``: what training, evaluation and trials need of the declared dependencies. ``rest``: the others.
``more EXTRAS REQUIREMENTS``: what the package's extras of those names ask for, then requirements as they are given.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

# A new dependency is in every image until it is named here. The trainer's jobs are tested without these.
NOT_FOR_TRAINING = re.compile(r"(apache-airflow.*|duckdb|evidently|feast|great-expectations)\b")


def lines(what: str, extras: str = "", requirements: str = "") -> list[str]:
    """Return one of the lists above; of ``extras`` and ``requirements``, the parts stand apart by blanks."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    known = project["optional-dependencies"]
    if what == "more":
        if unknown := set(extras.split()) - set(known):
            raise SystemExit(f"no such extra: {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
        return [*(one for extra in extras.split() for one in known[extra]), *requirements.split()]
    wanted = {"training": False, "rest": True}[what]
    return [one for one in project["dependencies"] if bool(NOT_FOR_TRAINING.match(one)) is wanted]


print(*lines(*sys.argv[1:]), sep="\n")  # noqa: T201
