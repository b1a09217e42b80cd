"""What a product, a job and a DAG are declared with comes from the top of the package, and loads nothing heavy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

import airflow_mlops_provider as api
from tests.factories import house
from tests.factories.public import FILES, ROOMS, public_modules

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "public_api.md"
DECLARING = (
    "import sys\nfrom airflow_mlops_provider import Data, Interval, MLProduct, Problem, Search, TrainerSettings, job\n"
    "print([name for name in ('airflow', 'kubernetes', 'numpy', 'pandas') if name in sys.modules])"
)


def imports(code: str) -> Iterator[tuple[str, str]]:
    """Yield module and name of each ``from … import`` of ours in some code."""
    for node in ast.walk(ast.parse(dedent(code))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == api.__name__:
            yield from ((str(node.module), alias.name) for alias in node.names)


def documented() -> list[tuple[str, str, str]]:
    """Return page or file, module and name of all that the documentation and the reference DAGs import from us."""
    shown = []
    for page in house.pages(ROOT):
        text = page.read_text("utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        lines = re.findall(rf"`(from {api.__name__}[\w.]* import [\w, ]*\w)[^`]*`", text)
        shown += [(page.name, *seen) for code in (*blocks, *lines) for seen in imports(code)]
    for file in (ROOT / "dags").glob("*.py"):
        shown += [(file.name, *seen) for seen in imports(file.read_text("utf-8"))]
    return sorted(set(shown))


def test_each_name_is_there_once() -> None:
    """Every public name can be had, and type checkers see the same names."""
    tree = ast.parse(Path(str(api.__file__)).read_text("utf-8"))
    typed = [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert {*typed} - {"annotations", "import_module", "TYPE_CHECKING"} == {*api.__all__}
    assert [getattr(api, name).__name__ for name in api.__all__] == api.__all__
    assert {*api.__all__, "__version__"} <= {*dir(api)}


def test_what_is_not_there_is_said() -> None:
    """A misspelled name is an error like any other module's."""
    with pytest.raises(ImportError, match="cannot import name 'MLProdukt' from 'airflow_mlops_provider'"):
        exec("from airflow_mlops_provider import MLProdukt", {})


def test_declaring_loads_nothing_heavy() -> None:
    """Declarations are read while DAGs are parsed."""
    done = subprocess.run([sys.executable, "-c", DECLARING], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_documented() -> None:
    """The page's table names what the package offers, no more and no less."""
    table = PAGE.read_text("utf-8").partition("## From the top")[2].partition("\n\n`")[0]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(api.__all__)


def test_every_public_module_is_documented() -> None:
    """The page's second table names the modules that are public, and where they are listed."""
    table = PAGE.read_text("utf-8").partition("## Modules")[2].partition("\n\nOf the")[0]
    assert set(re.findall(rf"`{api.__name__}\.([\w.]+)`", table)) == {*ROOMS, *FILES}


@pytest.mark.parametrize(("where", "module", "name"), documented())
def test_what_the_documentation_imports_is_public(where: str, module: str, name: str) -> None:
    """What a reader copies out of a page, or out of a reference DAG, is there, and promised to stay."""
    whole = import_module(module)
    assert hasattr(whole, name) or f"{module}.{name}" in public_modules(), where
    assert module in public_modules(), where
    if whole is api:
        assert name in api.__all__ or f"{module}.{name}" in public_modules(), where


def test_the_documentation_is_looked_through() -> None:
    """Blocks, lines of text and DAG files are all among what the test above sees."""
    seen = {where for where, _, _ in documented()}
    assert {"functions.md", "CONTRIBUTING.md", "public_api.md", "training.py"} <= seen
