"""Where one source file first differs from another, as a person would say it."""

from __future__ import annotations

import ast
from difflib import SequenceMatcher

from airflow_mlops_provider.lifecycle.frozen import Frozen

LONGEST = 80


class Change(Frozen):
    """Where a source file first differs: line number from 1, the function around it, and the line on both sides.

    A side without that line has an empty one.
    """

    line: int
    function: str | None
    old: str
    new: str

    @property
    def where(self) -> str:
        """The place: ``line 12 in clean``."""
        return f"line {self.line} in {self.function}" if self.function else f"line {self.line}"

    def __str__(self) -> str:
        if self.old and self.new:
            return f"{self.old!r} is now {self.new!r}"
        return f"{self.old!r} is gone" if self.old else f"{self.new!r} is new"


def first_change(old: str, new: str) -> Change | None:
    """Return where two sources first differ; None if they do not."""
    before, after = old.splitlines(), new.splitlines()
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            function = _function_at(new, j1 + 1) if j2 > j1 else _function_at(old, i1 + 1)
            was, now = before[i1].strip() if i2 > i1 else "", after[j1].strip() if j2 > j1 else ""
            return Change(line=j1 + 1, function=function, old=was[:LONGEST], new=now[:LONGEST])
    return None


def _function_at(source: str, line: int) -> str | None:
    """Return the name of the outermost function or class around a line; None outside any, or in no valid Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if first <= line <= (node.end_lineno or node.lineno):
                return node.name
    return None
