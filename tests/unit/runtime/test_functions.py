"""What goes with a function that runs elsewhere: its name if it can be imported, else its source and what that uses."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.runtime.address import address
from airflow_mlops_provider.runtime.code import load
from airflow_mlops_provider.runtime.functions import FunctionSettings, TableKind, describe

#: A DAG file: Airflow loads it under a name that nobody can import.
FILE = '''
import json as j
import math
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pandas as pd

LIMIT, NAMES = 3.5, ("a", "b")
HANDLE = open(__file__)
Table = pd.DataFrame


def helper(value):
    return value


def mark(function):
    function.marked = True
    return function


@mark
def alone(x: int = 2) -> str:
    """Uses what goes with it."""
    inner = lambda y: math.floor(y + LIMIT)  # a comment
    return j.dumps([inner(x), *NAMES, dedent("  c"), Path("d").name])


def itself(n):
    return 1 if n < 2 else n * itself(n - 1)


def uses_helper(x):
    return [helper(y) for y in x]


def uses_handle():
    def deep():
        return HANDLE
    return deep()


def unknown():
    return not_defined


def within():
    outer = 1
    def inner():
        return outer
    return inner


def takes(a: pd.DataFrame, b: "pd.DataFrame | None", c: dict[str, pd.DataFrame], d: "pl.DataFrame", e: "pa.Table",
          f: int, g, h: "Mapping[str, pl.DataFrame]", i: "int | None" = None, k: Path = None):
    return a
'''


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """Return a DAG file's module, loaded as Airflow does."""
    (tmp_path / "mine.py").write_text(FILE)
    spec = importlib.util.spec_from_file_location("unusual_prefix_0_mine", tmp_path / "mine.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["unusual_prefix_0_mine"] = module
    spec.loader.exec_module(module)
    yield module
    module.HANDLE.close()
    del sys.modules["unusual_prefix_0_mine"]


def elsewhere(settings: FunctionSettings, *arguments: Any) -> Any:
    """Call a function in a process that knows nothing but what a specification says."""
    code = (
        "import json, sys\n"
        "from airflow_mlops_provider.runtime.code import load\n"
        "from airflow_mlops_provider.runtime.functions import FunctionSettings as F\n"
        "settings, arguments = json.load(sys.stdin)\n"
        "print(json.dumps(load(F.model_validate(settings))(*arguments)))\n"
    )
    given = json.dumps([settings.to_json(), arguments])
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "arguments"), [("alone", (1,)), ("alone", ()), ("itself", (5,))], ids=["argument", "default", "recursion"]
)
def test_a_dag_files_function_goes_by_its_source(file: Any, name: str, arguments: tuple[Any, ...]) -> None:
    """With the imports and plain values of its file that it uses, it gives the same elsewhere."""
    function: Callable[..., Any] = getattr(file, name)
    settings = describe(function)
    assert (settings.code, settings.name) == (None, name)
    assert elsewhere(settings, *arguments) == function(*arguments)


def test_what_does_not_matter_changes_nothing(file: Any, tmp_path: Path) -> None:
    """Comments, decorators and the rest of the file are no part of a function; the values that it uses are."""
    source = describe(file.alone).source
    assert "comment" not in source
    assert "mark" not in source
    file.LIMIT = 4.5
    assert describe(file.alone).source == source.replace("LIMIT = 3.5", "LIMIT = 4.5")


@pytest.mark.parametrize(
    ("name", "lost"),
    [("uses_helper", "helper"), ("uses_handle", "HANDLE"), ("unknown", "not_defined")],
)
def test_what_cannot_go_with_it_is_named(file: Any, name: str, lost: str) -> None:
    """A helper, or an open file, of the DAG file is not known elsewhere: the error names it when the DAG is made."""
    with pytest.raises(ConfigurationError, match=rf"{name}.*where {lost} of its file is not known: import or define"):
        describe(getattr(file, name))


def test_what_is_no_plain_function_is_refused(file: Any) -> None:
    for value in (lambda: 1, len, "function", file.Table):
        with pytest.raises(ConfigurationError, match="write it with def"):
            describe(value)
    with pytest.raises(ConfigurationError, match="outer of its file"):
        describe(file.within())


def test_an_importable_function_goes_by_its_name() -> None:
    """Its code is then followed from file to file, as that of a product's functions."""
    settings = describe(describe)
    assert settings.code == "airflow_mlops_provider.runtime.functions:describe"
    assert load(settings) is describe


@pytest.mark.parametrize("where", ["module", "DAG file"])
def test_what_a_function_is_made_of_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """An edit to the function's own module, or to one of the users' own that a DAG file imports, is other work."""
    (tmp_path / "shop_helpers").mkdir()
    (tmp_path / "shop_helpers" / "__init__.py").touch()
    rules = tmp_path / "shop_helpers" / "rules.py"
    rules.write_text("LEAST = 1\n")
    (tmp_path / "shop_steps.py").write_text("def double(x: int) -> int:\n    return 2 * x\n")
    source = "import math\nfrom shop_helpers import rules\n\ndef keep(x):\n    return max(math.pi, x, rules.LEAST)\n"
    (tmp_path / "dag_file.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    if where == "module":
        function, edited = importlib.import_module("shop_steps").double, tmp_path / "shop_steps.py"
    else:
        spec = importlib.util.spec_from_file_location("unusual_prefix_dag_file", tmp_path / "dag_file.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        function, edited = module.keep, rules
    settings = describe(function).to_json()
    services = Services(landing="", mlflow="")
    given = JobSpec(job="function", product="shop", settings=settings, root="", services=services)
    before = address(given)
    edited.write_text(edited.read_text() + "MORE = 2\n")
    assert address(given) != before


def test_tables_are_taken_as_annotated(file: Any) -> None:
    """Annotations may be text, name what is imported for type checkers only, and be optional."""
    settings = describe(file.takes)
    assert settings.tables == {
        "a": TableKind(library="pandas"),
        "b": TableKind(library="pandas"),
        "c": TableKind(library="pandas", several=True),
        "d": TableKind(library="polars"),
        "e": TableKind(library="pyarrow"),
        "h": TableKind(library="polars", several=True),
    }
    assert settings.requires == ("pandas", "polars", "pyarrow")
