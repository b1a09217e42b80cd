"""Print what an environment or an image installs, as pip reads it. Run beside ``pyproject.toml``.

``training``: what training, evaluation and trials need of the dependencies and of the extras that both images have.
``rest``: the others of these.
``more EXTRAS REQUIREMENTS``: what the package's extras of those names ask for, then requirements as they are given.
``all EXTRAS``: the dependencies, and what the extras ask for.

With ``--locked LOCK``, the entries of the lock that these come to, each with the hashes of its files. What the lock
does not hold is left out: an index may have its own files of it.
"""

from __future__ import annotations

import argparse
import re
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
NAME = re.compile(r"[A-Za-z0-9._-]+")


def lines(what: str, extras: str = "", requirements: str = "") -> list[str]:
    """Return one of the lists above; of ``extras`` and ``requirements``, the parts stand apart by blanks."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    known, asked = project["optional-dependencies"], extras.replace(",", " ").split()
    if unknown := set(asked) - set(known):
        raise SystemExit(f"no such extra: {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
    if what == "all":
        return [*project["dependencies"], *brought(known, asked)]
    if what == "more":
        return [*brought(known, asked), *requirements.split()]
    wanted = {"training": False, "rest": True}[what]
    everything = [*project["dependencies"], *brought(known, IN_EVERY_IMAGE)]
    return [line for line in everything if bool(NOT_FOR_TRAINING.match(line)) is wanted]


def brought(known: dict[str, list[str]], extras: Iterable[str]) -> Iterator[str]:
    """Yield the requirements of some extras, and of those that they are made of."""
    for line in (line for extra in extras for line in known[extra]):
        others = OURS.fullmatch(line)
        yield from brought(known, others[1].split(",")) if others else [line]


def locked(requirements: Iterable[str], lock: str) -> list[str]:
    """Return a lock's entries that requirements come to: each says at its end what asks for it."""
    entries = re.findall(r"^\w.*\n(?: .*\n)+", lock, re.MULTILINE)
    asked_by = [set(re.split(", ", entry.rpartition("# via ")[2].strip())) for entry in entries]
    names = [named(entry) for entry in entries]
    wanted, before = {named(line) for line in requirements}, 0
    while len(wanted) > before:
        before = len(wanted)
        wanted |= {name for name, parents in zip(names, asked_by, strict=True) if parents & wanted}
    return [entry.rstrip("\n") for entry, name in zip(entries, names, strict=True) if name in wanted]


def named(line: str) -> str:
    """Return a requirement's name, as locks spell it."""
    found = NAME.match(line)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("--locked", type=Path)
parser.add_argument("what", choices=("training", "rest", "more", "all"))
parser.add_argument("rest", nargs="*")
given = parser.parse_args()
found = lines(given.what, *given.rest)
print(*(locked(found, given.locked.read_text("utf-8")) if given.locked else found), sep="\n")  # noqa: T201
