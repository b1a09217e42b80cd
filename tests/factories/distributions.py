"""Which distributions some requirements come to, and an interpreter that has no others."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

#: The beginning of a program whose first argument names top-level modules: they can't be imported in what follows.
BLOCK = """
import sys
from importlib.abc import MetaPathFinder
missing = set(sys.argv[1].split())
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}: it is blocked", name=name)
sys.meta_path.insert(0, Missing())
"""


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of the installed distributions that some requirements come to."""
    names: set[str] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                names.add(name)
                waiting += [(Requirement(line), wanted) for line in metadata.distribution(name).requires or ()]
    return names


def modules_beside(requirements: Iterable[str]) -> list[str]:
    """Return the top-level modules that are installed here and of no distribution that the requirements come to."""
    kept = closure(requirements) | {"airflow-mlops-provider"}
    owners = metadata.packages_distributions().items()
    return sorted(top for top, names in owners if not kept & {canonicalize_name(name) for name in names})
