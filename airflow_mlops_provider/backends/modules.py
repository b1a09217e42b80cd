"""Python modules: found, and traced to what they import, without running any of them."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigurationError


def source_file(module_name: str) -> Path:
    """Return a module's source file, without running the module itself. :raises ConfigurationError: without one."""
    spec = find_module(module_name)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"module {module_name!r} is not to be found on {sys.path}")
    return Path(spec.origin)


def find_module(module_name: str) -> ModuleSpec | None:
    """Find a module without running it or what is around it: that may need packages which are not installed here."""
    name, *below = module_name.split(".")
    try:
        spec = importlib.util.find_spec(name)
    except (ValueError, ImportError):  # a program's main module; an import hook that refuses it
        return None
    for part in below:
        if spec is None or spec.submodule_search_locations is None:
            return None
        # By its last name: under the whole one, a folder without __init__.py asks what is around it, which was not run.
        spec = PathFinder.find_spec(part, [*spec.submodule_search_locations])
    return spec


def located(spec: ModuleSpec | None) -> list[Path]:
    """Return a module's file, or a package's folders: one without ``__init__.py`` has no file, and may have several."""
    if spec and spec.submodule_search_locations is not None:
        return [Path(folder) for folder in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec and spec.origin else []


def imported_by(
    module_names: Iterable[str], within: Callable[[str], bool], follow: Callable[[str], bool] = lambda _: True
) -> set[str]:
    """Return modules and all that they import, directly or not, from some top packages; found without running them.

    :param within: says of a top package by name whether it is one of these.
    :param follow: says of a module whether it counts, and with it what it imports.
    """
    seen: set[str] = set()
    waiting = set(module_names)
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting |= {name for name in _imports(module, within) if follow(name)} - seen
    return seen


def _imports(module_name: str, within: Callable[[str], bool]) -> frozenset[str]:
    """Return what a module imports from some top packages, with the packages around that and around itself."""
    file = source_file(module_name)
    state = file.stat()
    return _parsed(module_name, within, file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1024)
def _parsed(module_name: str, within: Callable[[str], bool], file: Path, _changed: int, _size: int) -> frozenset[str]:
    package = module_name if file.name == "__init__.py" else module_name.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(f"{file} is no valid Python: {error}") from None
    names = {module_name, *named(tree, package)}
    tops = {top for top in {name.partition(".")[0] for name in names} if within(top)}
    return frozenset(with_source(name for name in names if name.partition(".")[0] in tops)) - {module_name}


def named(tree: ast.AST, package: str) -> set[str]:
    """Return all names that may be modules, of what a module imports; ``package`` is that around it."""
    names = set()
    for node in _run(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names |= {parent, *(f"{parent}.{alias.name}" for alias in node.names)}
    return names


def with_source(names: Iterable[str]) -> set[str]:
    """Return those of some names that are modules with a source, and the packages around them."""
    around = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}
    return {name for name in around if _has_source(name)}


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements of a module that may run: what is imported for type checkers alone decides nothing."""
    # Statements stand in these fields alone; to go through expressions, too, would take five times as long.
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        below = getattr(tree, field, ())
        for node in below if isinstance(below, list) else ():
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                continue
            yield node
            yield from _run(node)


def _has_source(module_name: str) -> bool:
    spec = find_module(module_name)
    return spec is not None and bool(spec.origin) and str(spec.origin).endswith(".py")
