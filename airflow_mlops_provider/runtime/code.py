"""The user's code: found by name, loaded, fingerprinted, and traced to its commit."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.source.checkout import git
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Commit
from airflow_mlops_provider.lifecycle.trainer import Function
from airflow_mlops_provider.storage.artifacts import file_hash

COMMIT_FILE = ".commit"
OURS = "airflow_mlops_provider"
#: Rooms of ours that say how a job runs and where its result lies, but nothing of what is in it. A declaration's
#: values stand in the specification.
PLUMBING = (
    *("exceptions", "extensions", "runtime", "storage"),
    *("lifecycle.product", "lifecycle.records", "lifecycle.references"),
)


def product_files(folders: Iterable[Path]) -> list[Path]:
    """Return the ``product.py`` of each product below some folders, whether it can be used or not."""
    return [file for folder in folders for file in folder.glob("*/product.py")]


def make_importable(folders: Iterable[Path]) -> None:
    """Append to the path what is not on it yet."""
    sys.path += [folder for folder in map(str, folders) if folder not in sys.path]


def is_importable(product: str) -> bool:
    """Say whether there is a package of a product's name with a module ``product``, without running either."""
    return product.isidentifier() and _spec(f"{product}.product") is not None


def load_product(name: str) -> MLProduct:
    """Return what a package's ``product.py`` declares as ``product``. :raises UnknownNameError: naming those known."""
    if not is_importable(name):
        known = {file.parent.name for file in product_files(map(Path, filter(None, sys.path)))}
        raise UnknownNameError("product", name, known)
    product = getattr(importlib.import_module(f"{name}.product"), "product", None)
    if not isinstance(product, MLProduct) or product.name != name:
        other = f"name={product.name!r}" if isinstance(product, MLProduct) else f"a {type(product).__name__}"
        there = "nothing" if product is None else other
        raise ConfigurationError(f"{name}/product.py must declare `product = MLProduct(name={name!r}, …)`, not {there}")
    return product


def load(code: str | Function) -> Callable[..., Any]:
    """Return the function that ``package.module:function`` names, or that goes by its source.

    :raises UnknownNameError: naming those that the module has.
    """
    if isinstance(code, Function):
        return load(code.code) if code.code else _made(code)
    module_name, _, function_name = code.partition(":")
    module = importlib.import_module(module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise UnknownNameError(f"function in {module_name}", function_name, public)
    return function  # type: ignore[no-any-return]


def _made(function: Function) -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": function.name}
    exec(compile(function.source, f"<{function.name}>", "exec"), names)  # noqa: S102  # the DAG author's own source
    made: Callable[..., Any] = names[function.name]
    return made


def source_file(module_name: str) -> Path:
    """Return a module's source file, without running the module itself."""
    spec = _spec(module_name)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"module {module_name!r} is not to be found on {sys.path}")
    return Path(spec.origin)


def _spec(module_name: str) -> ModuleSpec | None:
    """Find a module without running it or what is around it: that may need packages which are not installed here."""
    name, *below = module_name.split(".")
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a program's main module
        return None
    for part in below:
        if spec is None or spec.submodule_search_locations is None:
            return None
        # By its last name: under the whole one, a folder without __init__.py asks what is around it, which was not run.
        spec = PathFinder.find_spec(part, [*spec.submodule_search_locations])
    return spec


def source_hashes(module_names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of the source of some modules and of all that they import, by module. See :func:`closure`."""
    return {name: file_hash(source_file(name)) for name in sorted(set().union(*map(closure, module_names)))}


def closure(module_name: str) -> set[str]:
    """Return a module and all that it imports, directly or not, from its own top package; found without running them.

    A package's ``product`` module is not followed: a declaration is compared by value, not as a file. Nor is what of
    our own package carries jobs and decides no result of theirs (:data:`PLUMBING`).
    """
    seen: set[str] = set()
    waiting = {module_name}
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting |= {name for name in _imports(module) if _decides(name)} - seen
    return seen


def _decides(module_name: str) -> bool:
    package, _, below = module_name.partition(".")
    if package == OURS:
        return bool(below) and not any(f"{below}.".startswith(f"{room}.") for room in PLUMBING)
    return below != "product"


def _imports(module_name: str) -> frozenset[str]:
    """Return what a module imports from its own top package, with the packages around that and around itself."""
    file = source_file(module_name)
    state = file.stat()
    return _parsed(module_name, file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1024)
def _parsed(module_name: str, file: Path, _changed: int, _size: int) -> frozenset[str]:
    package = module_name if file.name == "__init__.py" else module_name.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(f"{file} is no valid Python: {error}") from None
    here = module_name.partition(".")[0]
    own = (name for name in (module_name, *_named(tree, package)) if name.partition(".")[0] == here)
    return frozenset(_modules(own)) - {module_name}


def own_modules(source: str) -> list[str]:
    """Return the modules that some source imports and that are the users' own: of no installed distribution."""
    tops = {name: _spec(name.partition(".")[0]) for name in _modules(_named(ast.parse(source), ""))}
    return sorted(name for name, spec in tops.items() if any(not _is_installed(file) for file in _located(spec)))


def _is_installed(file: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & {*file.parts} or file.is_relative_to(sysconfig.get_path("stdlib"))
    return bool(installed) or OURS in file.parts


def _named(tree: ast.AST, package: str) -> set[str]:
    """Return all names that may be modules, of what a module imports; ``package`` is that around it."""
    named = set()
    for node in _run(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            named |= {parent, *(f"{parent}.{alias.name}" for alias in node.names)}
    return named


def _modules(names: Iterable[str]) -> set[str]:
    """Return those of some names that are modules with a source, and the packages around them."""
    around = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}
    return {name for name in around if _has_source(name)}


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a module that may run: what is imported for type checkers alone decides nothing."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _run(node)


def _has_source(module_name: str) -> bool:
    spec = _spec(module_name)
    return spec is not None and bool(spec.origin) and str(spec.origin).endswith(".py")


def roots(modules: Iterable[str]) -> list[Path]:
    """Return the folders from which some modules are imported, as far as they are found, each once."""
    specs = [_spec(module.partition(".")[0]) for module in modules]
    return list(dict.fromkeys(file.parent for spec in specs for file in _located(spec)))


def _located(spec: ModuleSpec | None) -> list[Path]:
    """Return a module's file, or a package's folders: one without ``__init__.py`` has no file, and may have several."""
    if spec and spec.submodule_search_locations is not None:
        return [Path(folder) for folder in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec and spec.origin else []


def commit_of(module_name: str) -> Commit:
    """Return the commit that a module's file stands in, and whether its repository has uncommitted changes.

    Where there is no repository, as in an image, a file ``.commit`` beside the module tells it, in the words of
    ``git describe --dirty``.
    """
    folder = source_file(module_name).parent

    def output(*arguments: str) -> str:
        return git("-C", str(folder), *arguments).decode().strip()

    try:
        return Commit(
            repository=output("rev-parse", "--show-toplevel"),
            commit=output("rev-parse", "HEAD"),
            dirty=bool(output("status", "--porcelain", "--untracked-files=no")),
        )
    except (OSError, subprocess.SubprocessError):
        beside = folder / COMMIT_FILE
        commit, _, rest = (beside.read_text("utf-8") if beside.exists() else "").strip().partition("-")
        return Commit(commit=commit, dirty=bool(rest)) if commit else Commit()
