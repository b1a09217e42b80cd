"""The user's code: found by name, loaded, fingerprinted, and traced to its commit."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.modules import find_module, imported_by, located, named, source_file, with_source
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
    return product.isidentifier() and find_module(f"{product}.product") is not None


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


def source_hashes(module_names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of the source of some modules and of all that they import, by module. See :func:`closure`."""
    return {name: file_hash(source_file(name)) for name in sorted(closure(*module_names))}


def closure(*module_names: str) -> set[str]:
    """Return modules and all that they import, directly or not, of the users' own packages, or of ours.

    They are found without running them. What is installed is known by its version, not by its source. A package's
    ``product`` module is not followed: a declaration is compared by value, not as a file. Nor is what of our own
    package carries jobs and decides no result of theirs (:data:`PLUMBING`).
    """
    ours = {name for name in module_names if name.partition(".")[0] == OURS}
    users_own = imported_by({*module_names} - ours, _is_users_own, _decides)
    return imported_by(ours, _is_ours, _decides) | users_own


def _decides(module_name: str) -> bool:
    package, _, below = module_name.partition(".")
    if package == OURS:
        return bool(below) and not any(f"{below}.".startswith(f"{room}.") for room in PLUMBING)
    return below != "product"


def own_modules(source: str) -> list[str]:
    """Return the modules that some source imports and that are the users' own: of no installed distribution."""
    return sorted(name for name in with_source(named(ast.parse(source), "")) if _is_users_own(name.partition(".")[0]))


def _is_ours(package: str) -> bool:
    return package == OURS


def _is_users_own(package: str) -> bool:
    return any(not _is_installed(file) for file in located(find_module(package)))


def _is_installed(file: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & {*file.parts} or file.is_relative_to(sysconfig.get_path("stdlib"))
    return bool(installed) or OURS in file.parts


def roots(modules: Iterable[str]) -> list[Path]:
    """Return the folders from which some modules are imported, as far as they are found, each once."""
    specs = [find_module(module.partition(".")[0]) for module in modules]
    return list(dict.fromkeys(file.parent for spec in specs for file in located(spec)))


def commit_of(module_name: str) -> Commit:
    """Return the commit that a module's file stands in, and whether its repository has uncommitted changes.

    Where there is no repository, as in an image, a file ``.commit`` beside the module tells it, in the words of
    ``git describe --dirty``.
    """
    folder = source_file(module_name).parent

    def output(*arguments: str) -> str:
        return git("-C", str(folder), *arguments).decode().strip()

    try:
        repository, commit = output("rev-parse", "--show-toplevel", "HEAD").rsplit("\n", 1)
        dirty = bool(output("status", "--porcelain", "--untracked-files=no"))
        return Commit(repository=repository, commit=commit, dirty=dirty)
    except (OSError, subprocess.SubprocessError):
        beside = folder / COMMIT_FILE
        commit, _, rest = (beside.read_text("utf-8") if beside.exists() else "").strip().partition("-")
        return Commit(commit=commit, dirty=bool(rest)) if commit else Commit()
