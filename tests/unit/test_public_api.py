"""What a product, a job and a DAG are declared with comes from the top of the package, and loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_mlops_provider as api

DECLARING = (
    "import sys\nfrom airflow_mlops_provider import Data, MLProduct, Search, Source, TrainerSettings, job\n"
    "print([name for name in ('airflow', 'kubernetes', 'numpy', 'pandas') if name in sys.modules])"
)


def test_each_name_is_there_once() -> None:
    """Every public name can be had, and type checkers see the same names."""
    tree = ast.parse(Path(str(api.__file__)).read_text("utf-8"))
    typed = [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert {*typed} - {"annotations", "import_module", "TYPE_CHECKING"} == {*api.__all__}
    assert [getattr(api, name).__name__ for name in api.__all__] == api.__all__


def test_what_is_not_there_is_said() -> None:
    """A misspelled name is an error like any other module's."""
    with pytest.raises(ImportError, match="cannot import name 'MLProdukt' from 'airflow_mlops_provider'"):
        exec("from airflow_mlops_provider import MLProdukt", {})


def test_declaring_loads_nothing_heavy() -> None:
    """Declarations are read while DAGs are parsed."""
    done = subprocess.run([sys.executable, "-c", DECLARING], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
