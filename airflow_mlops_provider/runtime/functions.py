"""Any plain function as a job: what has to be known of it to run it elsewhere, and to know its work again.

A function that stands in an importable module goes by its name. One that stands in a DAG file, which nobody can import,
goes by its source, with the imports and plain values of that file that it uses.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import symtable
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any, ClassVar, Literal

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.trainer import Function, Used
from airflow_mlops_provider.runtime.arguments import JobSettings
from airflow_mlops_provider.runtime.code import own_modules

Library = Literal["pandas", "polars", "pyarrow"]
#: What annotations call these libraries where they are not imported at run time.
_ALIASES: dict[str, Library] = {"pd": "pandas", "pl": "polars", "pa": "pyarrow"}
_TABLES = ("DataFrame", "Table")


class TableKind(Frozen):
    """As what a function takes a table: of which library, and whether a dict of all tables of a dataset by name."""

    library: Library
    several: bool = False


class FunctionSettings(JobSettings, Function):
    """A plain function that takes and returns tables, as a specification names it.

    :param tables: as what it takes tables, by parameter.
    :param requires: distributions whose versions its result depends on.
    """

    declared: ClassVar[bool] = False
    tables: dict[str, TableKind] = {}
    requires: tuple[str, ...] = ()


def describe(function: Callable[..., Any], requires: tuple[str, ...] = ()) -> FunctionSettings:
    """Return what runs a function of tables elsewhere. Raises as :func:`described`."""
    known, tables = described(function), table_kinds(function)
    libraries = (kind.library for kind in tables.values() if kind.library not in requires)
    return FunctionSettings(**dict(known), tables=tables, requires=(*requires, *dict.fromkeys(libraries)))


def described(function: Callable[..., Any]) -> Function:
    """Return what runs a function elsewhere.

    :raises ConfigurationError: if it can't run elsewhere, with the names that it uses and that don't go with it.
    """
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        raise ConfigurationError(f"{function!r:.100} is no function with a name; write it with def")
    name = function.__name__
    if _is_importable(function):
        return Function(name=name, code=f"{function.__module__}:{name}")
    source = source_of(function)
    return Function(name=name, source=source, uses=tuple(Used(module=module) for module in own_modules(source)))


def source_of(function: Callable[..., Any]) -> str:
    """Return a function's source without its decorators, after the imports and values that it uses of its file.

    :raises ConfigurationError: naming what it uses that can't go with it.
    """
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigurationError(f"the source of function {function.__name__!r} can't be read: {error}") from None
    if not isinstance(definition, ast.FunctionDef):
        raise ConfigurationError(f"function {function.__name__!r} is no plain def; put it into a module of its own")
    definition.decorator_list = []
    alone = ast.unparse(definition)
    around = function.__globals__
    names = sorted(_outer_names(alone, function.__name__))
    lines = {name: _line(name, around[name]) for name in names if name in around}
    if lost := [name for name in names if not lines.get(name)]:
        raise ConfigurationError(
            f"function {function.__name__!r} runs elsewhere, where {', '.join(lost)} of its file is not known: "
            "import or define that inside of it, or put the function into a module that can be imported"
        )
    return "\n".join(("from __future__ import annotations", *filter(None, lines.values()), alone, ""))


def _outer_names(source: str, name: str) -> set[str]:
    """Return the names that a function uses of what is around it; annotations are not evaluated."""
    lines = f"from __future__ import annotations\n{source}"
    return {used for used in _globals(symtable.symtable(lines, name, "exec")) if not hasattr(builtins, used)} - {name}


def _globals(scope: symtable.SymbolTable) -> Iterator[str]:
    top = scope.get_type() == "module"
    for symbol in scope.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or top):
            yield symbol.get_name()
    for inner in scope.get_children():
        yield from _globals(inner)


def _line(name: str, value: Any) -> str | None:
    """Return the statement that makes a name of a file known elsewhere; None if there is none."""
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}" if _has_file(value.__name__) else None
    if _is_plain(value):
        return f"{name} = {value!r}"
    module, called = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if isinstance(module, str) and _has_file(module) and getattr(sys.modules.get(module), called, None) is value:
        return f"from {module} import {called} as {name}"
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(_is_plain(part) for pair in value.items() for part in pair)
    return value is None or (type(value) in (str, int, float, bool, bytes) and not _is_odd(value))


def _is_odd(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _is_importable(function: Callable[..., Any]) -> bool:
    module = sys.modules.get(function.__module__)
    return _has_file(function.__module__) and getattr(module, function.__name__, None) is function


def _has_file(module: str) -> bool:
    """Say whether Python finds a module by its name elsewhere, too: a DAG file's own name is Airflow's invention."""
    top = module.partition(".")[0]
    return top in sys.builtin_module_names or (top != "__main__" and PathFinder.find_spec(top) is not None)


def table_kinds(function: Callable[..., Any]) -> dict[str, TableKind]:
    """Return as what a function takes tables, by the parameters that are annotated with them."""
    return dict(_table_kinds(function))


def _table_kinds(function: Callable[..., Any]) -> Iterator[tuple[str, TableKind]]:
    for name, parameter in inspect.signature(function).parameters.items():
        text = _text(parameter.annotation)
        several = text.startswith(("dict[", "Dict[", "Mapping["))
        value = text.partition(",")[2].strip().rstrip("]") if several else text.partition("|")[0].strip()
        library = _library(value, function)
        if library:
            yield name, TableKind(library=library, several=several)


def _text(annotation: Any) -> str:
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return f"{annotation.__module__}.{annotation.__qualname__}"
    return annotation if isinstance(annotation, str) else str(annotation).replace("typing.", "")


def _library(text: str, function: Callable[..., Any]) -> Library | None:
    """Return of which library a type is that an annotation names; None if it is no table."""
    prefix, _, name = text.rpartition(".")
    first = prefix.partition(".")[0]
    module = function.__globals__.get(first)
    known = module.__name__ if isinstance(module, ModuleType) else _ALIASES.get(first, first)
    libraries: dict[str, Library] = {library: library for library in _ALIASES.values()}
    return libraries.get(known) if name in _TABLES else None
