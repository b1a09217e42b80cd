"""The code that applies a model, written beside it: MLflow loads it where this provider is not installed."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection
from pathlib import Path

from airflow_mlops_provider.backends.modules import imported_by, source_file
from airflow_mlops_provider.backends.tracking.mlflow import loader
from airflow_mlops_provider.extensions import FLAVORS

OURS = "airflow_mlops_provider"


def carry(flavor: str, folder: Path) -> str:
    """Write what loads and applies a flavor's models into a folder, and return the module that MLflow calls.

    These are the very modules that do it here, and all that they import of the same packages, within a package that is
    called by what it holds: it is no other's, neither the provider's, where that is installed too, nor another model's.
    """
    begin = {loader.__name__, *FLAVORS.modules(flavor)}
    tops = frozenset({OURS, *(module.partition(".")[0] for module in begin)})
    names = sorted(imported_by(begin, tops.__contains__))
    trees = {name: ast.parse(source_file(name).read_bytes()) for name in names}
    trees[OURS].body = trees[OURS].body[:1]  # the public names lead to modules that apply no model
    digest = hashlib.sha256("".join(name + ast.unparse(tree) for name, tree in trees.items()).encode()).hexdigest()
    package = f"mlops_model_{digest[:16]}"
    _write(folder / package / "__init__.py", f'"""What applies a model of the flavor {flavor}, as it was trained."""')
    for name, tree in trees.items():
        file = folder.joinpath(package, *name.split("."))
        is_package = source_file(name).name == "__init__.py"
        _write(file / "__init__.py" if is_package else file.with_name(f"{file.name}.py"), _within(tree, package, tops))
    return f"{package}.{loader.__name__}"


def _write(file: Path, source: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{source}\n")


def _within(tree: ast.Module, package: str, tops: Collection[str]) -> str:
    """Return a module's source, which imports from inside of a package what it imported from some top packages."""
    return ast.unparse(ast.fix_missing_locations(_Moved(package, tops).visit(tree)))


class _Moved(ast.NodeTransformer):
    def __init__(self, package: str, tops: Collection[str]) -> None:
        self.package, self.tops = package, tops

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:  # as ast calls its nodes
        if not node.level and node.module and self._moves(node.module):
            node.module = f"{self.package}.{node.module}"
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for alias in node.names:
            if self._moves(alias.name):
                made.append(ast.Import([ast.alias(f"{self.package}.{alias.name}", alias.asname)]))
                if not alias.asname:  # what ``import a.b`` gives a name to is ``a``
                    made.append(ast.ImportFrom(self.package, [ast.alias(alias.name.partition(".")[0])], 0))
            else:
                made.append(ast.Import([alias]))
        return made

    def _moves(self, name: str) -> bool:
        return name.partition(".")[0] in self.tops
