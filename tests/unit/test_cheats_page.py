"""The page of cheats names tests that are there, and every case of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operating" / "cheats.md").read_text("utf-8")
OUTCOMES = {"refused", "named", "put right"}


def test_every_way_has_its_test() -> None:
    """At least 25 ways, each once, each with an outcome and a test that exists; no case of a test is left out."""
    files = dict(re.findall(r"\b([A-Z])(?: is)? `(tests/[\w/]+\.py)`", PAGE))
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([A-Z]) `(\w+)` \|$", PAGE, re.MULTILINE)
    assert len(rows) == PAGE.count("\n| ") - 1 >= 25
    assert len({way for way, *_ in rows}) == len({test for *_, test in rows}) == len(rows)
    assert {outcome for _, outcome, *_ in rows} == OUTCOMES
    named = {letter: names_in(ROOT / file) for letter, file in files.items()}
    assert [(letter, test) for *_, letter, test in rows if test not in named[letter]] == []
    cases = named["C"] - {name for name in named["C"] if name.startswith("test_")}
    assert cases <= {test for *_, test in rows}


def names_in(file: Path) -> set[str]:
    """Return the names of a file's tests, and of the cases that are functions of a world, or texts that name one."""
    tree = ast.parse(file.read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.decorator_list]
    cases = {node.name for node in functions if ast.unparse(node.args) == "world: CheatWorld"}
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    texts = {text for text in texts if isinstance(text, str) and re.fullmatch(r"pointer_to_\w+", text)}
    return (
        cases
        | texts
        | {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    )
