"""The programs that the benchmarks run in fresh interpreters: nothing else imports what they import."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def programs() -> dict[str, str]:
    """Return the source of each program, by its module."""
    modules = {file.stem: ast.parse(file.read_text()) for file in BENCHMARKS.rglob("*.py")}
    return {
        f"{module}:{node.lineno}": node.value
        for module, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\nimport " in node.value
    }


@pytest.mark.parametrize("program", programs().values(), ids=programs())
def test_what_a_benchmark_imports_of_ours_is_there(program: str) -> None:
    """A module or name that was moved is noticed here, not by whoever measures next."""
    imports = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.ImportFrom)]
    for node in imports:
        if str(node.module).partition(".")[0] in {"airflow_mlops_provider", "flight_delay"}:
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
