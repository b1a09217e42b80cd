"""Print what an image installs, one requirement a line, as pip reads it. Run beside ``pyproject.toml``.

``training``: what training, evaluation and trials need of the dependencies and of the extras that both images have.
``rest``: the others of these.
``more EXTRAS REQUIREMENTS``: what the package's extras of those names ask for, then requirements as they are given.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

# A new dependency is in every image until it is named here. The trainer's jobs are tested without these.
NOT_FOR_TRAINING = re.compile(
    r"(apache-airflow.*|duckdb|evidently|fastapi|feast|great-expectations|ibis-framework|prometheus-client|uvicorn)\b"
)
# What the reference DAGs ask for, wherever they run.
IN_EVERY_IMAGE = ("duckdb", "lightgbm", "search", "serving")
# An extra that is made of others: `airflow-mlops-provider[one,other]`.
OURS = re.compile(r"airflow-mlops-provider\[(.+)\]")


def lines(what: str, extras: str = "", requirements: str = "") -> list[str]:
    """Return one of the lists above; of ``extras`` and ``requirements``, the parts stand apart by blanks."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    known = project["optional-dependencies"]
    if what == "more":
        if unknown := set(extras.split()) - set(known):
            raise SystemExit(f"no such extra: {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
        return [*brought(known, extras.split()), *requirements.split()]
    wanted = {"training": False, "rest": True}[what]
    everything = [*project["dependencies"], *brought(known, IN_EVERY_IMAGE)]
    return [line for line in everything if bool(NOT_FOR_TRAINING.match(line)) is wanted]


def brought(known: dict[str, list[str]], extras: Iterable[str]) -> Iterator[str]:
    """Yield the requirements of some extras, and of those that they are made of."""
    for line in (line for extra in extras for line in known[extra]):
        others = OURS.fullmatch(line)
        yield from brought(known, others[1].split(",")) if others else [line]


print(*lines(*sys.argv[1:]), sep="\n")  # noqa: T201
