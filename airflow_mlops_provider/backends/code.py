"""The user's code: found by name, loaded, fingerprinted, and traced to its commit."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.artifacts import file_hash
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.manifest import Commit
from airflow_mlops_provider.lifecycle.product import MLProduct


def find_products(*folders: Path) -> Iterator[MLProduct]:
    """Yield the products declared below some folders, by name: each a package with a ``product.py``.

    :raises ConfigurationError: if a product's name is not its folder's.
    """
    found = {path.parent.name: path.parent for folder in folders for path in sorted(folder.glob("*/product.py"))}
    for name in sorted(found):
        if str(found[name].parent) not in sys.path:
            sys.path.append(str(found[name].parent))
        yield load_product(name)


def load_product(name: str) -> MLProduct:
    """Return the product that the package of that name declares as ``product`` in its ``product.py``.

    :raises UnknownNameError: if there is no such package; the message lists those in reach.
    """
    if not name.isidentifier() or importlib.util.find_spec(name) is None:
        raise UnknownNameError("product", name, known_products())
    product = getattr(importlib.import_module(f"{name}.product"), "product", None)
    if not isinstance(product, MLProduct) or product.name != name:
        raise ConfigurationError(f"{name}/product.py must declare `product = MLProduct(name={name!r}, …)`")
    return product


def known_products() -> list[str]:
    """Return the names of all products that could be imported."""
    return sorted(path.parent.name for entry in sys.path if entry for path in Path(entry).glob("*/product.py"))


def load(code: str) -> Callable[..., Any]:
    """Return the function that ``package.module:function`` names.

    :raises UnknownNameError: if the module has no such function; the message lists those that it has.
    """
    module_name, _, function_name = code.partition(":")
    module = importlib.import_module(module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise UnknownNameError(f"function in {module_name}", function_name, public)
    return function  # type: ignore[no-any-return]


def source_file(module_name: str) -> Path:
    """Return a module's source file, without running the module itself."""
    spec = importlib.util.find_spec(module_name)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"module {module_name!r} is not to be found on {sys.path}")
    return Path(spec.origin)


def source_hash(module_name: str) -> str:
    """Return the SHA-256 of a module's source."""
    return file_hash(source_file(module_name))


def commit_of(module_name: str) -> Commit:
    """Return the commit that a module's file stands in, and whether its repository has uncommitted changes."""
    folder = source_file(module_name).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        return Commit(
            repository=git("rev-parse", "--show-toplevel"),
            commit=git("rev-parse", "HEAD"),
            dirty=bool(git("status", "--porcelain", "--untracked-files=no")),
        )
    except (OSError, subprocess.SubprocessError):
        return Commit()
